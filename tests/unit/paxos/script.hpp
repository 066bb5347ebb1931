// What the scripted tests of the core share: short names, output as text, and one replica with its surroundings played.
#pragma once

#include <openreplica/paxos/founding_message.hpp>
#include <openreplica/paxos/log.hpp>
#include <openreplica/paxos/message.hpp>
#include <openreplica/paxos/output.hpp>
#include <openreplica/paxos/record.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <variant>
#include <vector>

/// Each test file lives in a namespace inside this one, since the files may be compiled as one translation unit.
namespace paxos_script {

using namespace openreplica;
using namespace openreplica::paxos;
using namespace std::chrono_literals;
// The names that the C library has too.
using openreplica::paxos::accept;
using openreplica::paxos::log;

inline constexpr node_id a{0, 1}, b{0, 2}, c{0, 3}, d{0, 4}, e{0, 5};

// ---- builders

inline value command(std::string text, std::uint64_t stamp = 0) {
    return {value_kind::command, log_time{stamp}, shared_bytes(std::move(text))};
}
inline value no_op(std::uint64_t stamp = 0) { return {value_kind::no_op, log_time{stamp}, {}}; }
inline value stop_sign(configuration const& next) { return {value_kind::configuration, {}, body_of(next)}; }
inline entry at(std::uint64_t s, ballot const& under, value what) { return {slot{s}, under, std::move(what)}; }

inline member member_of(node_id id) { return {id, {std::string(1, static_cast<char>('a' + id.low - 1)), 1}}; }
inline configuration group_of(std::initializer_list<node_id> ids, std::uint32_t number = 1) {
    configuration g{epoch{number}, {}};
    for (node_id id : ids) g.voters.push_back(member_of(id));
    return g;
}

// ---- text

inline std::string text(node_id id) {
    return id.high == 0 && id.low >= 1 && id.low <= 26 ? std::string(1, static_cast<char>('a' + id.low - 1))
                                                       : to_string(id);
}
inline std::string text(slot s) { return std::to_string(s.value); }
inline std::string text(ballot const& n) { return n.empty() ? "none" : std::to_string(n.round) + text(n.owner); }
inline std::string text(value const& v) {
    if (v.kind == value_kind::no_op) return "-";
    if (v.kind == value_kind::configuration) {
        auto const next = decode_configuration(v.body.view());
        if (!next) return "K?";
        std::string voters;
        for (member const& m : next->voters) voters += text(m.id);
        return "K" + std::to_string(next->number.value) + "(" + voters + ")";
    }
    return v.body.size() > 40 ? "big" : std::string(v.body.view());
}
inline std::string text(entry const& x) { return text(x.at) + ":" + text(x.what) + "@" + text(x.accepted); }

template <class T>
std::string text(std::vector<T> const& items) {
    std::string all;
    for (T const& item : items) all += (all.empty() ? "" : " ") + text(item);
    return "[" + all + "]";
}

inline std::string text(prepare const& m) {
    return "prepare " + text(m.number) + " chosen=" + text(m.chosen) + " epoch=" + std::to_string(m.current.value) +
           (m.after > slot{} ? " after=" + text(m.after) : "");
}
inline std::string text(promise const& m) {
    return "promise " + text(m.number) + " chosen=" + text(m.chosen) + " " + text(m.entries) +
           (m.chunk > 0 ? " chunk=" + std::to_string(m.chunk) : "") + (m.last ? "" : " more");
}
inline std::string text(reject const& m) { return "reject " + text(m.number) + " promised=" + text(m.promised); }
inline std::string text(accept const& m) {
    return "accept " + text(m.number) + " " + text(m.first) + ".. " + text(m.values) + " chosen=" + text(m.chosen);
}
inline std::string text(accepted const& m) {
    return "accepted " + text(m.number) + " upto=" + text(m.upto) + (m.gap ? " gap" : "");
}
inline std::string text(chosen_index const& m) { return "chosen " + text(m.number) + " upto=" + text(m.chosen); }
inline std::string text(learn const& m) { return "learn " + text(m.from) + ".."; }
inline std::string text(learned const& m) {
    return "learned " + text(m.first) + ".. " + text(m.values) + " behind=" + text(m.behind) +
           " chosen=" + text(m.chosen) + " start=" + text(m.log_start);
}
inline std::string text(heartbeat const& m) {
    return "heartbeat " + std::to_string(m.number) + (m.leading.empty() ? "" : " leading=" + text(m.leading)) +
           " chosen=" + text(m.chosen);
}
inline std::string text(heartbeat_reply const& m) {
    return "reply " + std::to_string(m.number) + " promised=" + text(m.promised) + (m.leading ? " leading" : "") +
           (m.happy ? " happy" : "") + " chosen=" + text(m.chosen) + " held=" + text(m.held) +
           (m.disk != disk_state::ok ? " disk=" + std::to_string(static_cast<int>(m.disk)) : "");
}
inline std::string text(read_request const& m) { return "read " + std::to_string(m.number); }
inline std::string text(read_reply const& m) {
    return "read_reply " + std::to_string(m.number) + " index=" + text(m.index);
}
inline std::string text(hand_over const& m) { return "hand_over " + text(m.number); }
/// What belongs to the driver is named, no more.
template <class M>
requires std::same_as<M, forward> || std::same_as<M, forward_refused> || std::same_as<M, snapshot_request> ||
    std::same_as<M, snapshot_chunk> || std::same_as<M, change_request> || std::same_as<M, transfer_request> ||
    std::same_as<M, change_reply> || std::same_as<M, meet>
        std::string text(M const& m) {
    return std::string(name_of(message(m)));
}

inline std::string text(promise_record const& r) { return "promise " + text(r.promised); }
inline std::string text(accept_record const& r) { return text(r.what); }
inline std::string text(chosen_record const& r) { return "chosen " + text(r.chosen) + "@" + text(r.under); }
inline std::string text(founding_record const& r) {
    constexpr char const* steps[] = {"?", "accepted", "chosen", "abandoned", "ended"};
    return std::string(steps[static_cast<std::size_t>(r.what)]) + " " + std::to_string(r.first.cluster.low);
}
template <class... Kinds>
std::string text(std::variant<Kinds...> const& any) {
    return std::visit([](auto const& one) { return text(one); }, any);
}

inline std::string text(outgoing const& m) {
    std::string to;
    for (node_id id : m.to) to += (to.empty() ? "" : ",") + text(id);
    return "to " + to + ": " + text(m.what) + (m.after == lsn{} ? "" : " after #" + std::to_string(m.after.value));
}

/// Lines, each ended: what a script expects.
template <class... Line>
std::string lines(Line const&... line) {
    return (std::string() + ... + (std::string(line) + "\n"));
}

/// Everything that `out` asks for, in the order of its members.
inline std::string told(output const& out) {
    std::string all;
    for (record const& r : out.append) all += lines("write " + text(r));
    for (outgoing const& m : out.messages) all += lines(text(m));
    for (entry const& x : out.chosen) all += lines("apply " + text(x));
    for (read_point const& p : out.reads) all += lines("serve " + std::to_string(p.number) + " at " + text(p.index));
    for (node_id id : out.snapshot_from) all += lines("snapshot from " + text(id));
    return all;
}
inline std::string told(effects& fx) { return told(fx.take()); }

/// Only the messages of one kind.
template <class M>
std::string sent(output const& out) {
    std::string all;
    for (outgoing const& m : out.messages)
        if (std::holds_alternative<M>(m.what)) all += lines(text(m));
    return all;
}

/// Only what is to be applied.
inline std::string applied(output const& out) { return text(out.chosen); }

} // namespace paxos_script
