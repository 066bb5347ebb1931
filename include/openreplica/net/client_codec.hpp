// The messages of clients as bytes and back. The bytes may come from anyone.
#pragma once

#include <openreplica/net/client_message.hpp>
#include <openreplica/net/frame.hpp>
#include <openreplica/net/handshake.hpp>
#include <openreplica/types/wire.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace openreplica::inline v0::net {

/// Frame types of what clients say begin here, and of what they are told.
inline constexpr std::uint8_t first_client_request_type = 96;
inline constexpr std::uint8_t first_client_reply_type = 112;

/// Writes the bodies of clients' messages, field by field in the order of their declaration.
class client_encoder {
    wire_writer w_;

    void put(errc code) { w_.put(static_cast<std::uint8_t>(code)); }
    void put(call_outcome const& o) {
        put(o.code);
        w_.put_string(o.text);
        w_.put_string(o.result);
        w_.put(o.at);
    }
    void put(view const& v) {
        w_.put(v.cluster);
        w_.put(v.current);
        w_.put(static_cast<std::uint32_t>(v.members.size()));
        for (auto const& m : v.members) detail::put_member(w_, m);
        w_.put(v.leader);
        w_.put(v.promised);
        w_.put(v.serving);
        w_.put(v.applied);
        w_.put(v.clock);
    }

public:
    explicit client_encoder(std::string& out) : w_(out) {}

    void operator()(client_ping const& m) { w_.put(m.number); }
    void operator()(client_commands const& m) {
        w_.put(m.number);
        w_.put(static_cast<std::uint32_t>(m.commands.size()));
        for (auto const& c : m.commands) w_.put_string(c.view());
    }
    void operator()(client_leave const& m) { w_.put(m.session); }
    void operator()(client_query const& m) {
        w_.put(m.number);
        w_.put(static_cast<std::uint8_t>(m.kind));
        w_.put(m.local);
        w_.put(m.floor);
        w_.put(m.max_staleness_us);
        w_.put(m.timeout_us);
        w_.put_string(m.name);
        w_.put_string(m.type);
        w_.put_string(m.body.view());
    }
    void operator()(client_question const& m) {
        w_.put(m.number);
        w_.put_string(m.what);
        w_.put_string(m.argument);
    }
    void operator()(client_order const& m) {
        w_.put(m.number);
        w_.put_string(m.text);
    }

    void operator()(client_pong const& m) {
        w_.put(m.number);
        put(m.now);
    }
    void operator()(client_refused const& m) {
        w_.put(m.number);
        w_.put(static_cast<std::uint32_t>(m.which.size()));
        for (std::uint32_t i : m.which) w_.put(i);
        put(m.reason);
        w_.put_string(m.text);
    }
    void operator()(client_opened const& m) {
        w_.put(m.opener);
        w_.put(m.session);
        w_.put(m.clock);
        put(m.reason);
        w_.put_string(m.text);
    }
    void operator()(client_outcomes const& m) {
        w_.put(m.session);
        w_.put(m.applied);
        w_.put(m.clock);
        w_.put(static_cast<std::uint32_t>(m.list.size()));
        for (auto const& o : m.list) {
            w_.put(o.seq);
            w_.put(o.stored);
            put(o.outcome);
        }
    }
    void operator()(client_answer const& m) {
        w_.put(m.number);
        put(m.outcome);
        w_.put(m.staleness_us);
    }
};

/// Reads the bodies of clients' messages. It never reads past the end and never believes a count.
class client_decoder {
    std::shared_ptr<std::string const> buffer_;
    std::size_t offset_;
    wire_reader r_;

public:
    client_decoder(std::shared_ptr<std::string const> buffer, std::size_t offset, std::size_t size)
        : buffer_(std::move(buffer)), offset_(offset), r_(std::string_view(*buffer_).substr(offset, size)) {}

    /// The alternative with number `index` of a message variant, if the body is one and nothing more.
    template <class Variant>
    [[nodiscard]] std::optional<Variant> message(std::size_t index) {
        Variant m;
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            (void)((I == index ? (m = get(std::in_place_type<std::variant_alternative_t<I, Variant>>), true) : false) || ...);
        }(std::make_index_sequence<std::variant_size_v<Variant>>{});
        if (!r_.complete()) return std::nullopt;
        return m;
    }

private:
    std::uint64_t get_number() { return r_.get<std::uint64_t>(); }
    std::string get_text() { return std::string(r_.get_string()); }
    /// Slots near the end of their range are refused, so that no arithmetic on them overflows.
    slot get_slot() {
        auto s = r_.get<slot>();
        if (s.value >> 62 != 0) r_.fail();
        return s;
    }
    errc get_code() { return static_cast<errc>(r_.get<std::uint8_t>()); }
    shared_bytes get_bytes() {
        auto const text = r_.get_string();
        if (!r_.ok()) return {};
        return shared_bytes(buffer_, offset_ + r_.offset() - text.size(), text.size());
    }
    query_kind get_kind() {
        auto const kind = r_.get<std::uint8_t>();
        if (kind != static_cast<std::uint8_t>(query_kind::call) && kind != static_cast<std::uint8_t>(query_kind::exists))
            r_.fail();
        return static_cast<query_kind>(kind);
    }
    template <class Read>
    auto get_list(Read read) {
        std::vector<decltype(read())> list;
        auto const count = r_.get<std::uint32_t>();
        for (std::uint32_t i = 0; i < count && r_.ok(); ++i) list.push_back(read());
        return list;
    }
    std::vector<paxos::member> get_members() {
        auto members = get_list([this] { return detail::get_member(r_); });
        if (members.size() > max_view_members) r_.fail();
        return members;
    }

    // In a braced list the fields are read in their order.
    call_outcome get_outcome() { return {get_code(), get_text(), get_text(), get_slot()}; }
    view get_view() {
        return {r_.get<cluster_id>(), r_.get<epoch>(), get_members(), r_.get<node_id>(),   r_.get_ballot(),
                r_.get_bool(),        get_slot(),      r_.get<log_time>()};
    }

    client_ping get(std::in_place_type_t<client_ping>) { return {get_number()}; }
    client_commands get(std::in_place_type_t<client_commands>) {
        return {get_number(), get_list([this] { return get_bytes(); })};
    }
    client_leave get(std::in_place_type_t<client_leave>) { return {r_.get<session_id>()}; }
    client_query get(std::in_place_type_t<client_query>) {
        return {get_number(), get_kind(), r_.get_bool(), get_slot(), get_number(),
                get_number(), get_text(), get_text(),    get_bytes()};
    }
    client_question get(std::in_place_type_t<client_question>) { return {get_number(), get_text(), get_text()}; }
    client_order get(std::in_place_type_t<client_order>) { return {get_number(), get_text()}; }

    client_pong get(std::in_place_type_t<client_pong>) { return {get_number(), get_view()}; }
    client_refused get(std::in_place_type_t<client_refused>) {
        return {get_number(), get_list([this] { return r_.get<std::uint32_t>(); }), get_code(), get_text()};
    }
    client_opened get(std::in_place_type_t<client_opened>) {
        return {get_number(), r_.get<session_id>(), r_.get<log_time>(), get_code(), get_text()};
    }
    client_outcomes get(std::in_place_type_t<client_outcomes>) {
        return {r_.get<session_id>(), get_slot(), r_.get<log_time>(), get_list([this] {
                    return command_outcome{r_.get<sequence>(), r_.get_bool(), get_outcome()};
                })};
    }
    client_answer get(std::in_place_type_t<client_answer>) { return {get_number(), get_outcome(), get_number()}; }
};

namespace detail {

/// A guess that spares the larger messages a reallocation.
[[nodiscard]] inline std::size_t body_size(client_request const& m) {
    std::size_t n = 96;
    if (auto const* c = std::get_if<client_commands>(&m))
        for (auto const& command : c->commands) n += command.size() + 4;
    return n;
}
[[nodiscard]] inline std::size_t body_size(client_reply const& m) {
    std::size_t n = 128;
    if (auto const* o = std::get_if<client_outcomes>(&m))
        for (auto const& one : o->list) n += one.outcome.text.size() + one.outcome.result.size() + 26;
    if (auto const* a = std::get_if<client_answer>(&m)) n += a->outcome.text.size() + a->outcome.result.size();
    return n;
}

template <class Variant>
[[nodiscard]] std::string encode_client(Variant const& m, std::uint8_t first_type) {
    std::string out = begin_frame(body_size(m));
    std::visit(client_encoder(out), m);
    finish_frame(out, static_cast<std::uint8_t>(first_type + m.index()));
    return out;
}
template <class Variant>
[[nodiscard]] std::optional<Variant> decode_client(std::uint8_t type, std::uint8_t first_type,
                                                   std::shared_ptr<std::string const> buffer, std::size_t offset,
                                                   std::size_t size) {
    if (type < first_type || type >= first_type + std::variant_size_v<Variant>) return std::nullopt;
    return client_decoder(std::move(buffer), offset, size).message<Variant>(static_cast<std::size_t>(type - first_type));
}

} // namespace detail

/// The frame of a message of a client.
[[nodiscard]] inline std::string encode(client_request const& m) {
    return detail::encode_client(m, first_client_request_type);
}
/// The frame of a message to a client.
[[nodiscard]] inline std::string encode(client_reply const& m) {
    return detail::encode_client(m, first_client_reply_type);
}

/// Reads the body of a frame of the given type; commands and bodies are slices of `buffer`. Nothing when it is malformed.
[[nodiscard]] inline std::optional<client_request> decode_client_request(std::uint8_t type,
                                                                         std::shared_ptr<std::string const> buffer,
                                                                         std::size_t offset, std::size_t size) {
    return detail::decode_client<client_request>(type, first_client_request_type, std::move(buffer), offset, size);
}
/// The same for what clients are told.
[[nodiscard]] inline std::optional<client_reply> decode_client_reply(std::uint8_t type,
                                                                     std::shared_ptr<std::string const> buffer,
                                                                     std::size_t offset, std::size_t size) {
    return detail::decode_client<client_reply>(type, first_client_reply_type, std::move(buffer), offset, size);
}

} // namespace openreplica::inline v0::net
