// A small type and a driver for the tests of the replicated state.
#pragma once

#include <openreplica/object/object_space.hpp>

#include <openreplica/object/macros.hpp>

#include <cstdint>
#include <limits>
#include <map>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

template <>
struct openreplica::describe<std::map<std::string, std::uint16_t>> {
    static constexpr auto methods() {
        using map = std::map<std::string, std::uint16_t>;
        return method_table<method<"put", [](map& d, std::string const& k, std::uint16_t v) { d[k] = v; }>>{};
    }
};

namespace space_test {

using namespace openreplica;

class tally {
    std::int64_t value_ = 0;
    std::vector<std::string> log_;

public:
    tally() = default;
    explicit tally(std::int64_t start) : value_(start) {
        if (start < 0) throw std::invalid_argument("a tally starts at zero or above");
    }
    std::int64_t add(std::int64_t n) { return value_ += n; }
    std::int64_t get() const { return value_; }
    void note(std::string const& text, std::uint8_t level) { log_.push_back(text + std::to_string(level)); }
    std::int64_t add_then_throw(std::int64_t n) {
        value_ += n;
        throw std::runtime_error("after adding \xFF");
    }
    void throw_number() { throw 42; }
    void exhaust() { throw std::bad_alloc(); }
    double not_finite() {
        ++value_;
        return std::numeric_limits<double>::quiet_NaN();
    }
    /// Breaks the rule: what it returns is not in the log.
    std::int64_t stray() {
        static std::int64_t calls_in_this_process = 0;
        return ++calls_in_this_process;
    }
    std::string repeat(std::uint32_t n) { return std::string(n, 'x'); }
    std::vector<std::uint64_t> who(context& c) {
        return {c.slot().value, c.caller().value, c.fence(),
                static_cast<std::uint64_t>(c.now().time_since_epoch().count()), c.random()};
    }
    OPENREPLICA_METHODS(tally, add, get, note, add_then_throw, throw_number, exhaust, not_finite, repeat, who, stray)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(tally, value_, log_)
};

/// A type without a JSON form.
class formless {
    int n_ = 0;

public:
    int bump() { return ++n_; }
    OPENREPLICA_METHODS(formless, bump)
};

/// Applies commands one after another, as a log would.
struct driver {
    object::type_registry registry;
    object::object_space space{registry};
    std::uint64_t at = 0;
    std::uint64_t time = 0;
    session_id session;
    std::uint64_t seq = 0;
    std::uint64_t acked_below = 1;

    driver() {
        registry.add<tally, std::int64_t>();
        registry.add<formless>();
        registry.add<std::map<std::string, std::uint16_t>>();
        session = open();
    }

    std::optional<runtime::applied_command> raw(envelope const& e) {
        return space.apply(slot{++at}, log_time{time}, e);
    }
    session_id open(std::string_view body = "[]") {
        envelope e;
        e.kind = command_kind::open_session;
        e.object = object_id{77};
        e.body = body;
        return raw(e)->session;
    }
    envelope make(command_kind kind, std::string_view name, std::string_view body) {
        envelope e;
        e.kind = kind;
        e.object = object::object_id_of(name);
        e.session = session;
        e.seq = sequence{++seq};
        e.acked_below = sequence{acked_below};
        e.body = body;
        return e;
    }
    call_outcome send(command_kind kind, std::string_view name, std::string_view body) {
        return raw(make(kind, name, body)).value().outcome;
    }
    call_outcome create(std::string_view name, std::string_view type = "tally") {
        return send(command_kind::create, name, "[\"" + std::string(name) + "\",\"" + std::string(type) + "\"]");
    }
    call_outcome call(std::string_view name, std::string_view body) { return send(command_kind::call, name, body); }
    call_outcome tick() {
        envelope e;
        e.kind = command_kind::tick;
        e.body = "[]";
        return raw(e).value().outcome;
    }
};

} // namespace space_test
