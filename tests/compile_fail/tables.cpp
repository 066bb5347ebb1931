// Method tables that do not say what they mean.
#include <openreplica/object/describe.hpp>
#include <openreplica/object/macros.hpp>

#include <string>

template <class T>
constexpr auto table_size = openreplica::object::table_of<T>::size;

struct base {
    int n = 0;
    int add(int d) { return n += d; }
    OPENREPLICA_METHODS(base, add)
};
// A class may list what it inherits.
struct sound : base {
    int more = 0;
    int twice() { return n *= 2; }
    OPENREPLICA_METHODS(sound, add, twice)
};
static_assert(table_size<base> == 1 && table_size<sound> == 2);

#ifdef CASE_NO_TABLE
// expect CASE_NO_TABLE: openreplica: this type has no method table; add OPENREPLICA_METHODS(type, method...) inside it
struct broken {};
using type = openreplica::object::table_of<broken>;
constexpr auto size = type::size;
#endif

#ifdef CASE_INHERITED_TABLE
// expect CASE_INHERITED_TABLE: openreplica: the method table is inherited from a base class; give this class its own
struct broken : base {
    int more = 0;
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_EQUAL_NAMES
// expect CASE_EQUAL_NAMES: openreplica: two methods share one name; give each overload a name of its own with
struct broken {
    void put() {}
    OPENREPLICA_METHODS(broken, put, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_EQUAL_NAMES_OF_TWO_FUNCTIONS
// expect CASE_EQUAL_NAMES_OF_TWO_FUNCTIONS: openreplica: two methods share one name; give each overload a name of its
struct broken {};
template <>
struct openreplica::describe<broken> {
    static constexpr auto methods() {
        return method_table<method<"put", [](broken&, int) {}>, method<"put", [](broken&, std::string) {}>>{};
    }
};
static_assert(table_size<broken> == 2);
#endif

#ifdef CASE_OVERLOADED
// expect CASE_OVERLOADED: openreplica: a listed method is overloaded, a template, static, inaccessible or missing; list
struct broken {
    void put(int) {}
    void put(std::string const&) {}
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_OVERLOADED_ON_CONST
// expect CASE_OVERLOADED_ON_CONST: openreplica: a listed method is overloaded, a template, static, inaccessible or
struct broken {
    int value = 0;
    int& put() { return value; }
    int put() const { return value; }
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_TEMPLATE
// expect CASE_TEMPLATE: openreplica: a listed method is overloaded, a template, static, inaccessible or missing; list
struct broken {
    template <class X>
    void put(X) {}
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_STATIC
// expect CASE_STATIC: openreplica: a method is a member function, or a function or captureless lambda whose first
struct broken {
    static void put() {}
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_DATA
// expect CASE_DATA: openreplica: a method is a member function, or a function or captureless lambda whose first
struct broken {
    int put = 0;
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_MISSING
// expect CASE_MISSING: openreplica: a listed method is overloaded, a template, static, inaccessible or missing; list
struct broken {
    void get() {}
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_PRIVATE
// expect CASE_PRIVATE: openreplica: a listed method is overloaded, a template, static, inaccessible or missing; list
class broken {
    void put() {}
};
OPENREPLICA_METHODS_NON_INTRUSIVE(broken, put)
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_NO_OBJECT
// expect CASE_NO_OBJECT: openreplica: a method is a member function, or a function or captureless lambda whose first
struct broken {};
template <>
struct openreplica::describe<broken> {
    static constexpr auto methods() { return method_table<method<"put", [](broken) {}>>{}; }
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_NO_NAME
// expect CASE_NO_NAME: openreplica: a method needs a name
struct broken {};
template <>
struct openreplica::describe<broken> {
    static constexpr auto methods() { return method_table<method<"", [](broken&) {}>>{}; }
};
static_assert(table_size<broken> == 1);
#endif
