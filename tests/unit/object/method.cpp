// What a method table says about its methods.
#include <openreplica/object/method.hpp>

#include <openreplica/object/context.hpp>

#include <doctest/doctest.h>

#include <span>
#include <string>
#include <string_view>
#include <type_traits>

using namespace openreplica;

namespace method_test {
namespace {

struct forms {
    int n = 0;
    int update(int d) { return n += d; }
    int read() const { return n; }
    int read_noexcept() const noexcept { return n; }
    void update_noexcept(std::string const&) noexcept {}
    int update_lvalue() & { return n; }
    int read_lvalue() const& { return n; }
    std::string const& reference() const { return text; }
    int with_context(context& c, int d) { return static_cast<int>(c.slot().value) + d; }
    int read_context(context const& c) const { return static_cast<int>(c.slot().value); }
    virtual int overridden() { return 1; }
    virtual ~forms() = default;
    std::string text;
};
struct derived : forms {
    int overridden() override { return 2; }
};
int free_update(forms& f, int d) { return f.n -= d; }

using table = method_table<method<"update", &forms::update>, method<"read", &forms::read>,
                           method<"overridden", &forms::overridden>, method<"free", &free_update>,
                           method<"lambda", [](forms const& f, std::string_view s) { return f.n + int(s.size()); }>>;

} // namespace

TEST_CASE("constness of the function decides between read and update") {
    static_assert(!method<"m", &forms::update>::is_read);
    static_assert(method<"m", &forms::read>::is_read);
    static_assert(method<"m", &forms::read_noexcept>::is_read);
    static_assert(!method<"m", &forms::update_noexcept>::is_read);
    static_assert(!method<"m", &forms::update_lvalue>::is_read);
    static_assert(method<"m", &forms::read_lvalue>::is_read);
    static_assert(!method<"m", &free_update>::is_read);
    static_assert(method<"m", [](forms const&) {}>::is_read);
    CHECK(table::size == 5);
}

TEST_CASE("the context is no parameter of the caller") {
    static_assert(std::is_same_v<method<"m", &forms::with_context>::params, object::type_list<int>>);
    static_assert(method<"m", &forms::with_context>::takes_context);
    static_assert(method<"m", &forms::read_context>::takes_context);
    static_assert(std::is_same_v<method<"m", &forms::read_context>::params, object::type_list<>>);
    forms f;
    context c(slot{40}, log_time{0}, session_id{0});
    CHECK(object::run_method<method<"m", &forms::with_context>>(f, c, 2) == 42);
    CHECK(object::run_method<method<"m", &forms::update>>(f, c, 2) == 2);
    CHECK(object::run_method<method<"m", &free_update>>(f, c, 1) == 1);
}

TEST_CASE("results are values, whatever the function returns") {
    static_assert(std::is_same_v<method<"m", &forms::reference>::result, std::string>);
    static_assert(object::is_view<std::string_view> && object::is_view<std::span<int>> &&
                  !object::is_view<std::string>);
}

TEST_CASE("entries are found by pointer and by name") {
    static_assert(object::index_of_pointer<&forms::read, table> == 1);
    static_assert(object::index_of_pointer<&forms::overridden, table> == 2);
    static_assert(object::index_of_pointer<&derived::overridden, table> == table::size);
    static_assert(object::index_of_pointer<&forms::read_lvalue, table> == table::size);
    static_assert(object::index_of_name<"lambda", table> == 4);
    static_assert(object::index_of_name<"upd", table> == table::size);
    static_assert(object::entry_at_t<3, table>::name == "free");
}

} // namespace method_test
