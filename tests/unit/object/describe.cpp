// Where method tables come from, and names on the wire.
#include <openreplica/object/describe.hpp>

#include <openreplica/object/macros.hpp>

#include <doctest/doctest.h>

#include <map>
#include <string>

using namespace openreplica;

namespace describe_test {

class private_parts {
    int n = 0;
    int hidden(int d) { return n += d; }
    OPENREPLICA_METHODS(private_parts, hidden, shown)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(private_parts, n)
    int shown() const { return n; }
};

template <class T>
class box {
    T v{};

public:
    OPENREPLICA_METHODS(box, put, get)
    void put(T x) { v = std::move(x); }
    T const& get() const { return v; }
};

struct base {
    int n = 0;
    int add(int d) { return n += d; }
};
struct derived : base {
    OPENREPLICA_METHODS(derived, add, twice)
    int twice() { return n *= 2; }
};

struct beside {
    int n = 0;
    int add(int d) { return n += d; }
    int get() const { return n; }
};
OPENREPLICA_METHODS_NON_INTRUSIVE(beside, add, get)
struct beside_too {
    void touch() {}
};
OPENREPLICA_METHODS_NON_INTRUSIVE(beside_too, touch)

struct overloaded {
    int n = 0;
    int at(int d) { return n += d; }
    int at(std::string const& s) { return n += static_cast<int>(s.size()); }
};

template <int N>
struct sized {
    int get() const { return N; }
    OPENREPLICA_METHODS(sized, get)
};

// Calls straight through, to see that the proxy's members reach the right pointers.
template <class T>
struct direct_caller {
    T& target;
    template <auto M, class... A>
    decltype(auto) invoke(A&&... a) {
        return (target.*M)(std::forward<A>(a)...);
    }
};

} // namespace describe_test

template <>
struct openreplica::describe<describe_test::overloaded> {
    static constexpr std::string_view name = "over";
    static constexpr auto methods() {
        using T = describe_test::overloaded;
        return method_table<method<"at_number", static_cast<int (T::*)(int)>(&T::at)>,
                            method<"at_text", static_cast<int (T::*)(std::string const&)>(&T::at)>>{};
    }
};
template <>
struct openreplica::describe<describe_test::sized<3>> {
    static constexpr std::string_view name = "sized3";
};
using dictionary = std::map<std::string, std::int8_t>;
template <>
struct openreplica::describe<dictionary> {
    static constexpr auto methods() {
        return method_table<method<"put", [](dictionary& d, std::string const& k,
                                             std::int8_t v) { return d.insert_or_assign(k, v).second; }>,
                            method<"size", [](dictionary const& d) { return d.size(); }>>{};
    }
};

namespace {
using namespace describe_test;

// Sixty-four methods in one list.
struct wide {
#define M(n)                                                                                                           \
    int m##n() const { return n; }
#define M8(n) M(n##0) M(n##1) M(n##2) M(n##3) M(n##4) M(n##5) M(n##6) M(n##7)
    M8(1)
    M8(2) M8(3) M8(4) M8(5) M8(6) M8(7) M8(8)
#undef M8
#undef M
        OPENREPLICA_METHODS(wide, m10, m11, m12, m13, m14, m15, m16, m17, m20, m21, m22, m23, m24, m25, m26, m27, m30,
                            m31, m32, m33, m34, m35, m36, m37, m40, m41, m42, m43, m44, m45, m46, m47, m50, m51, m52,
                            m53, m54, m55, m56, m57, m60, m61, m62, m63, m64, m65, m66, m67, m70, m71, m72, m73, m74,
                            m75, m76, m77, m80, m81, m82, m83, m84, m85, m86, m87)
};

} // namespace

TEST_CASE("a table comes from inside the class, from beside it, or from describe") {
    static_assert(object::table_of<private_parts>::size == 2);
    static_assert(object::table_of<derived>::size == 2);
    static_assert(object::table_of<beside>::names[1] == "get");
    static_assert(object::table_of<beside_too>::size == 1);
    static_assert(object::table_of<overloaded>::names[1] == "at_text");
    static_assert(object::table_of<dictionary>::size == 2);
    static_assert(object::table_of<wide>::size == 64);
    static_assert(!object::has_method_table<base>);
    CHECK(object::index_of_name<"m87", object::table_of<wide>> == 63);
}

TEST_CASE("an inherited function can be listed, an inherited table is not taken") {
    static_assert(object::entry_for_name<derived, "add">::index == 0);
    static_assert(object::entry_for_pointer<derived, &derived::twice>::index == 1);
    CHECK(std::is_same_v<object::entry_for_pointer<derived, &derived::add>::type, method<"add", &base::add>>);
}

TEST_CASE("a type's name on the wire is its spelling, with codec names for template arguments") {
    CHECK(object::type_name<private_parts>() == "private_parts");
    CHECK(object::type_name<box<int>>() == "box<i32>");
    CHECK(object::type_name<box<std::map<std::string, std::int64_t>>>() == "box<map<string,i64>>");
    CHECK(object::type_name<beside>() == "beside");
    CHECK(object::type_name<overloaded>() == "over");
    CHECK(object::type_name<sized<3>>() == "sized3");
    CHECK(object::type_name<dictionary>() == "map<string,i8>");
}

TEST_CASE("the proxy of a macro has the listed methods and calls them") {
    private_parts p;
    object::proxy_of<private_parts, direct_caller<private_parts>> proxy{{p}};
    CHECK(proxy.hidden(3) == 3);
    CHECK(proxy.shown() == 3);
    box<std::string> b;
    object::proxy_of<box<std::string>, direct_caller<box<std::string>>> boxed{{b}};
    boxed.put("x");
    CHECK(boxed.get() == "x");
    beside s;
    object::proxy_of<beside, direct_caller<beside>> other{{s}};
    CHECK(other.add(2) == 2);
    static_assert(object::has_proxy<private_parts> && !object::has_proxy<dictionary>);
}
