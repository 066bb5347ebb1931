// Calls that no object could answer.
#include <openreplica/object/macros.hpp>
#include <openreplica/replicated.hpp>

#include <exception>
#include <future>
#include <string>

struct opaque {};

class counter {
    int value = 0;

public:
    int add(int n) { return value += n; }
    int get() const { return value; }
    void unlisted() {}
    OPENREPLICA_METHODS(counter, add, get)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(counter, value)
};
using handle = openreplica::replicated<counter>;

/// Stands for a node: a handle needs no more of it, and the compiler less time.
struct host {
    friend openreplica::object::host const& openreplica_host(host const& h) { return h.inside; }
    openreplica::object::host inside;
};

int sound(host& n) {
    handle const h{n, "name"};
    h.reset();
    std::future<int> later = h.async()->add(1);
    h.async_call<"add">(2, [](std::exception_ptr, int) {});
    int const now = h->get() + h.call<&counter::add>(1) + h.call<"add">(1L);
    return later.get() + now + h.local()->get() + h.local_call<"get">();
}

#ifdef CASE_LOCAL_UPDATE
// expect CASE_LOCAL_UPDATE: openreplica: local() offers const methods only: a change must go through the log; call it
void broken(handle const& h) { h.local()->add(1); }
#endif

#ifdef CASE_LOCAL_UPDATE_BY_NAME
// expect CASE_LOCAL_UPDATE_BY_NAME: openreplica: local() offers const methods only: a change must go through the log;
void broken(handle const& h) { h.local_call<"add">(1); }
#endif

#ifdef CASE_UNKNOWN_NAME
// expect CASE_UNKNOWN_NAME: openreplica: the type's method table has no method of this name
void broken(handle const& h) { h.call<"subtract">(1); }
#endif

#ifdef CASE_UNKNOWN_NAME_ASYNC
// expect CASE_UNKNOWN_NAME_ASYNC: openreplica: the type's method table has no method of this name
void broken(handle const& h) { h.async_call<"subtract">(1, asio::use_future); }
#endif

#ifdef CASE_UNLISTED_POINTER
// expect CASE_UNLISTED_POINTER: openreplica: this method is not in the type's method table; add it to
void broken(handle const& h) { h.call<&counter::unlisted>(); }
#endif

#ifdef CASE_TOO_FEW
// expect CASE_TOO_FEW: openreplica: these arguments do not fit the method; check their number and types
void broken(handle const& h) { h->add(); }
#endif

#ifdef CASE_TOO_MANY
// expect CASE_TOO_MANY: openreplica: these arguments do not fit the method; check their number and types
void broken(handle const& h) { h->add(1, 2); }
#endif

#ifdef CASE_TOO_FEW_BY_NAME
// expect CASE_TOO_FEW_BY_NAME: openreplica: these arguments do not fit the method; check their number and types
void broken(handle const& h) { h.call<"add">(); }
#endif

#ifdef CASE_TOO_FEW_ASYNC
// expect CASE_TOO_FEW_ASYNC: openreplica: these arguments do not fit the method; check their number and types
void broken(handle const& h) { h.async(asio::use_future)->add(); }
#endif

#ifdef CASE_TOO_FEW_ASYNC_BY_NAME
// expect CASE_TOO_FEW_ASYNC_BY_NAME: openreplica: these arguments do not fit the method; check their number and types
void broken(handle const& h) { h.async_call<"add">(asio::use_future); }
#endif

#ifdef CASE_TOO_MANY_LOCAL
// expect CASE_TOO_MANY_LOCAL: openreplica: these arguments do not fit the method; check their number and types
void broken(handle const& h) { h.local()->get(1); }
#endif

#ifdef CASE_TEXT_FOR_A_NUMBER
// expect CASE_TEXT_FOR_A_NUMBER: openreplica: these arguments do not fit the method; check their number and types
void broken(handle const& h) { h->add("1"); }
#endif

#ifdef CASE_OPAQUE_ARGUMENT
// expect CASE_OPAQUE_ARGUMENT: openreplica: these arguments do not fit the method; check their number and types
void broken(handle const& h) { h->add(opaque{}); }
#endif

#ifdef CASE_NO_TOKEN
// expect CASE_NO_TOKEN: openreplica: an asynchronous call ends with its completion token
void broken(handle const& h) { h.async_call<"get">(); }
#endif

#ifdef CASE_NO_CONSTRUCTOR
// expect CASE_NO_CONSTRUCTOR: openreplica: a replicated object of this type cannot be constructed from these arguments;
void broken(host& n) { handle h{n, "name", std::string("no such constructor")}; }
#endif

#ifdef CASE_NARROWING_CONSTRUCTOR
// expect CASE_NARROWING_CONSTRUCTOR: openreplica: a replicated object of this type cannot be constructed from these
struct place {
    int at;
    explicit place(int n = 0) : at(n) {}
    int get() const { return at; }
    OPENREPLICA_METHODS(place, get)
};
void broken(host& n) { openreplica::replicated<place> h{n, "name", 1.5}; }
#endif

#ifdef CASE_NO_CONSTRUCTOR_FOR_RESET
// expect CASE_NO_CONSTRUCTOR_FOR_RESET: openreplica: a replicated object of this type cannot be constructed from these
void broken(handle const& h) { h.reset(1, 2, 3); }
#endif

#ifdef CASE_HANDLE_WITHOUT_TABLE
// expect CASE_HANDLE_WITHOUT_TABLE: openreplica: this type has no method table; add OPENREPLICA_METHODS(type,
struct plain {};
void broken(host& n) { openreplica::replicated<plain> h{n, "name"}; }
#endif

#ifdef CASE_HANDLE_WITH_INHERITED_TABLE
// expect CASE_HANDLE_WITH_INHERITED_TABLE: openreplica: the method table is inherited from a base class; give this
struct derived : counter {};
void broken(host& n) { openreplica::replicated<derived> h{n, "name"}; }
#endif
