// What a method may not take: the caller is in another process, so an argument is a value.
#include <openreplica/object/context.hpp>
#include <openreplica/object/describe.hpp>
#include <openreplica/object/macros.hpp>

#include <memory>
#include <string>
#include <string_view>

template <class T>
constexpr auto table_size = openreplica::object::table_of<T>::size;

struct opaque {};

struct sound {
    int n = 0;
    void by_value(std::string s, int d) { n += d + static_cast<int>(s.size()); }
    void by_const_reference(std::string const& s) { n += static_cast<int>(s.size()); }
    void by_view(std::string_view s) { n += static_cast<int>(s.size()); }
    void by_rvalue(std::string&& s) { n += static_cast<int>(s.size()); }
    void with_context(openreplica::context& c, int d) { n += d + static_cast<int>(c.slot().value); }
    int read(openreplica::context const& c) const { return n + static_cast<int>(c.slot().value); }
    OPENREPLICA_METHODS(sound, by_value, by_const_reference, by_view, by_rvalue, with_context, read)
};
static_assert(table_size<sound> == 6);

#ifdef CASE_POINTER
// expect CASE_POINTER: openreplica: a method cannot take a pointer: the call runs in other processes; take the value
struct broken {
    void put(int*) {}
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_TEXT_POINTER
// expect CASE_TEXT_POINTER: std::string for text
struct broken {
    void put(char const*) {}
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_REFERENCE_TO_POINTER
// expect CASE_REFERENCE_TO_POINTER: openreplica: a method cannot take a pointer: the call runs in other processes; take
struct broken {
    void put(int const* const&) {}
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_SECOND_PARAMETER
// expect CASE_SECOND_PARAMETER: openreplica: a method cannot take a pointer: the call runs in other processes; take the
struct broken {
    void put(int, int*) {}
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_SHARED_POINTER
// expect CASE_SHARED_POINTER: openreplica: a parameter of this method cannot become JSON; give its type to_json and
struct broken {
    void put(std::shared_ptr<int>) {}
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_REFERENCE
// expect CASE_REFERENCE: openreplica: a method cannot take a non-const reference: the call runs in other processes;
struct broken {
    void put(int&) {}
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_REFERENCE_IN_A_READ
// expect CASE_REFERENCE_IN_A_READ: openreplica: a method cannot take a non-const reference: the call runs in other
struct broken {
    void put(std::string&) const {}
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_LATE_CONTEXT
// expect CASE_LATE_CONTEXT: openreplica: the context is a method's first parameter, taken as context& (const methods:
struct broken {
    void put(int, openreplica::context&) {}
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_COPIED_CONTEXT
// expect CASE_COPIED_CONTEXT: openreplica: the context is a method's first parameter, taken as context& (const methods:
struct broken {
    void put(openreplica::context) {}
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_READ_THAT_CHANGES_ITS_CONTEXT
// expect CASE_READ_THAT_CHANGES_ITS_CONTEXT: openreplica: a const method takes context const&: it has no randomness
struct broken {
    void put(openreplica::context&) const {}
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif

#ifdef CASE_NO_JSON
// expect CASE_NO_JSON: openreplica: a parameter of this method cannot become JSON; give its type to_json and
struct broken {
    void put(opaque) {}
    OPENREPLICA_METHODS(broken, put)
};
static_assert(table_size<broken> == 1);
#endif
