// The binary frame around a JSON command in the log. Its layout is frozen: logs of older versions are read by newer.
#pragma once

#include <openreplica/types/ids.hpp>
#include <openreplica/types/wire.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace openreplica::inline v0 {

/// What a command asks of the replicated state.
enum class command_kind : std::uint8_t {
    call = 1,          ///< body `["method",arg…]`
    create = 2,        ///< body `["name","type",arg…]`: create the object if there is none
    destroy = 3,       ///< body `[]`
    reset = 4,         ///< body `["name","type",arg…]`: put a newly constructed object in place of the old one
    open_session = 5,  ///< body `[]`; `object` carries the opener's random number
    keep_alive = 6,    ///< body `[]`: the session is in use
    close_session = 7, ///< body `[]`
    tick = 8,          ///< body `[]`: the log's clock has moved; expire what is due
};

/// A command as the state machine sees it. `body` is a view into the entry's bytes.
///
/// The leader's stamp is not in here: it belongs to the value (`paxos::value`), because the leader sets it when it
/// assigns the slot, while the rest is encoded once, where the call was made.
struct envelope {
    command_kind kind = command_kind::call;
    object_id object;
    session_id session;
    sequence seq;
    sequence acked_below; ///< the caller has taken the outcome of every call of the session below this number
    log_time deadline;    ///< a command stamped after it is not executed; 0: none
    std::string_view body;
};

/// A session's calls are numbered within this distance of the lowest one that is not acknowledged. A format constant:
/// every replica decides alike.
inline constexpr std::uint64_t session_window = 65536;

/// Version 1 of the layout: format u8, kind u8, object u64, session u64, seq u64, acked_below u64, deadline u64, body.
inline constexpr std::uint8_t envelope_format = 1;

[[nodiscard]] inline std::string encode(envelope const& e) {
    std::string out;
    out.reserve(42 + e.body.size());
    wire_writer w(out);
    w.put(envelope_format);
    w.put(static_cast<std::uint8_t>(e.kind));
    w.put(e.object);
    w.put(e.session);
    w.put(e.seq);
    w.put(e.acked_below);
    w.put(e.deadline);
    w.put_raw(e.body);
    return out;
}

/// Nothing when the bytes are no envelope of a format that this version knows.
[[nodiscard]] inline std::optional<envelope> decode_envelope(std::string_view in) {
    wire_reader r(in);
    auto const format = r.get<std::uint8_t>();
    auto const kind = r.get<std::uint8_t>();
    envelope e;
    e.object = r.get<object_id>();
    e.session = r.get<session_id>();
    e.seq = r.get<sequence>();
    e.acked_below = r.get<sequence>();
    e.deadline = r.get<log_time>();
    e.body = r.get_raw(r.remaining());
    if (!r.ok() || format != envelope_format || kind < 1 || kind > static_cast<std::uint8_t>(command_kind::tick))
        return std::nullopt;
    e.kind = static_cast<command_kind>(kind);
    return e;
}

} // namespace openreplica::inline v0
