// What a method may not return: the caller gets a value, made from JSON in its own process.
#include <openreplica/object/macros.hpp>
#include <openreplica/replicated.hpp>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

template <class T>
constexpr auto table_size = openreplica::object::table_of<T>::size;

struct opaque {};

// A value with a JSON form of its own, which cannot be made from nothing.
struct celsius {
    double degrees;
    explicit celsius(double d) : degrees(d) {}
};
template <>
struct openreplica::codec<celsius> {
    static void write(std::string& out, celsius const& v) { codec<double>::write(out, v.degrees); }
    static celsius read(json_reader& r) { return celsius(codec<double>::read(r)); }
    static std::string name() { return "celsius"; }
};
struct thermometer {
    celsius measured{20};
    celsius now() const { return measured; }
    celsius heat() { return measured = celsius(measured.degrees + 1); }
    std::string const& text() const { return label; }
    std::optional<std::vector<int>> history() const { return {}; }
    std::string label;
    OPENREPLICA_METHODS(thermometer, now, heat, text, history)
};
static_assert(table_size<thermometer> == 4);
void blocking(openreplica::replicated<thermometer> const& h) { (void)(h->now().degrees + h->heat().degrees); }

#ifdef CASE_STRING_VIEW
// expect CASE_STRING_VIEW: openreplica: a method cannot return a view: the caller is in another process; return a
struct broken {
    std::string_view put() const { return "x"; }
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_SPAN
// expect CASE_SPAN: openreplica: a method cannot return a view: the caller is in another process; return a std::string
struct broken {
    std::vector<int> v;
    std::span<int const> put() const { return v; }
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_POINTER
// expect CASE_POINTER: openreplica: a method cannot return a pointer: the caller is in another process; return the
struct broken {
    char const* put() { return "x"; }
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_REFERENCE_TO_POINTER
// expect CASE_REFERENCE_TO_POINTER: openreplica: a method cannot return a pointer: the caller is in another process;
struct broken {
    int* p = nullptr;
    int* const& put() const { return p; }
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_UNIQUE_POINTER
// expect CASE_UNIQUE_POINTER: openreplica: the result of this method cannot become JSON; give its type to_json and
struct broken {
    std::unique_ptr<int> put() { return nullptr; }
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_NO_JSON
// expect CASE_NO_JSON: openreplica: the result of this method cannot become JSON; give its type to_json and
struct broken {
    opaque put() const { return {}; }
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_NOT_DEFAULT_CONSTRUCTIBLE
// expect CASE_NOT_DEFAULT_CONSTRUCTIBLE: openreplica: the result of an asynchronous call must be default-constructible
void asynchronous(openreplica::replicated<thermometer> const& h) { (void)h.async(asio::use_future)->heat(); }
#endif

#ifdef CASE_NOT_DEFAULT_CONSTRUCTIBLE_READ
// expect CASE_NOT_DEFAULT_CONSTRUCTIBLE_READ: openreplica: the result of an asynchronous call must be
void asynchronous(openreplica::replicated<thermometer> const& h) { (void)h.async(asio::use_future)->now(); }
#endif
