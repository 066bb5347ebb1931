// Bytes as messages. The bytes may come from anyone.
#pragma once

#include <openreplica/net/handshake.hpp>
#include <openreplica/paxos/founding_message.hpp>
#include <openreplica/paxos/message.hpp>

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

/// Reads message bodies. It never reads past the end and never believes a count: memory grows with the bytes that are
/// really there. Rounds and slots near the end of their range are refused, so that no arithmetic on them overflows.
class decoder {
    std::shared_ptr<std::string const> buffer_;
    std::size_t offset_;
    wire_reader r_;

public:
    decoder(std::shared_ptr<std::string const> buffer, std::size_t offset, std::size_t size)
        : buffer_(std::move(buffer)), offset_(offset), r_(std::string_view(*buffer_).substr(offset, size)) {}

    [[nodiscard]] bool complete() const { return r_.complete(); }

    /// Reads the alternative with number `index` of a message variant.
    template <class Variant>
    [[nodiscard]] Variant message(std::size_t index) {
        Variant m;
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            (void)((I == index ? (m = get(std::in_place_type<std::variant_alternative_t<I, Variant>>), true) : false) || ...);
        }(std::make_index_sequence<std::variant_size_v<Variant>>{});
        return m;
    }

private:
    ballot get_ballot() {
        ballot b = r_.get_ballot();
        if (b.round >> 62 != 0) r_.fail();
        return b;
    }
    slot get_slot() {
        auto s = r_.get<slot>();
        if (s.value >> 62 != 0) r_.fail();
        return s;
    }
    paxos::disk_state get_disk_state() {
        auto const state = r_.get<std::uint8_t>();
        if (state > static_cast<std::uint8_t>(paxos::disk_state::failed)) r_.fail();
        return static_cast<paxos::disk_state>(state);
    }
    shared_bytes get_bytes() {
        auto const text = r_.get_string();
        if (!r_.ok()) return {};
        return shared_bytes(buffer_, offset_ + r_.offset() - text.size(), text.size());
    }
    paxos::value get_value() {
        auto const kind = r_.get<std::uint8_t>();
        if (kind > static_cast<std::uint8_t>(paxos::value_kind::configuration)) r_.fail();
        auto const stamp = r_.get<log_time>();
        paxos::value v{static_cast<paxos::value_kind>(kind), stamp, get_bytes()};
        if (v.kind == paxos::value_kind::configuration && !paxos::decode_configuration(v.body.view())) r_.fail();
        return v;
    }
    /// What follows a stop-sign is of another epoch, and comes in another message.
    std::vector<paxos::value> get_values_of_one_epoch() {
        auto values = get_values();
        for (std::size_t i = 0; i + 1 < values.size(); ++i)
            if (values[i].kind == paxos::value_kind::configuration) r_.fail();
        return values;
    }
    template <class Read>
    auto get_list(Read read) {
        std::vector<decltype(read())> list;
        auto const count = r_.get<std::uint32_t>();
        for (std::uint32_t i = 0; i < count && r_.ok(); ++i) list.push_back(read());
        return list;
    }
    std::vector<paxos::value> get_values() {
        return get_list([this] { return get_value(); });
    }
    std::vector<std::string> get_names() {
        return get_list([this] { return std::string(r_.get_string()); });
    }
    paxos::first_configuration get_first() {
        auto const cluster = r_.get<cluster_id>();
        return {cluster, paxos::decode_configuration(r_)};
    }

    // In a braced list the fields are read in their order.
    paxos::prepare get(std::in_place_type_t<paxos::prepare>) {
        return {get_ballot(), get_slot(), r_.get<epoch>(), get_slot()};
    }
    paxos::promise get(std::in_place_type_t<paxos::promise>) {
        return {get_ballot(), get_slot(), r_.get<epoch>(), r_.get<std::uint32_t>(), r_.get_bool(), get_list([this] {
                    return paxos::entry{get_slot(), get_ballot(), get_value()};
                })};
    }
    paxos::reject get(std::in_place_type_t<paxos::reject>) { return {get_ballot(), get_ballot()}; }
    paxos::accept get(std::in_place_type_t<paxos::accept>) {
        return {get_ballot(), r_.get<epoch>(), get_slot(), get_values_of_one_epoch(), get_slot()};
    }
    paxos::accepted get(std::in_place_type_t<paxos::accepted>) { return {get_ballot(), get_slot(), r_.get_bool()}; }
    paxos::chosen_index get(std::in_place_type_t<paxos::chosen_index>) { return {get_ballot(), get_slot()}; }
    paxos::learn get(std::in_place_type_t<paxos::learn>) { return {get_slot()}; }
    paxos::learned get(std::in_place_type_t<paxos::learned>) {
        return {get_ballot(), get_slot(), get_values(), get_slot(), get_slot()};
    }
    paxos::heartbeat get(std::in_place_type_t<paxos::heartbeat>) {
        return {r_.get<std::uint64_t>(), get_ballot(), get_slot()};
    }
    paxos::heartbeat_reply get(std::in_place_type_t<paxos::heartbeat_reply>) {
        return {r_.get<std::uint64_t>(), get_ballot(), r_.get_bool(), r_.get_bool(), get_slot(), get_slot(),
                get_disk_state(), r_.get<epoch>(), r_.get<std::uint32_t>()};
    }
    paxos::read_request get(std::in_place_type_t<paxos::read_request>) { return {r_.get<std::uint64_t>()}; }
    paxos::read_reply get(std::in_place_type_t<paxos::read_reply>) { return {r_.get<std::uint64_t>(), get_slot()}; }
    paxos::forward get(std::in_place_type_t<paxos::forward>) {
        return {r_.get<std::uint64_t>(), r_.get<std::uint8_t>(), get_list([this] { return get_bytes(); })};
    }
    paxos::forward_refused get(std::in_place_type_t<paxos::forward_refused>) {
        return {r_.get<std::uint64_t>(), get_list([this] { return r_.get<std::uint32_t>(); }), r_.get<std::uint8_t>(),
                std::string(r_.get_string())};
    }
    paxos::snapshot_request get(std::in_place_type_t<paxos::snapshot_request>) {
        return {get_slot(), r_.get<std::uint64_t>()};
    }
    paxos::snapshot_chunk get(std::in_place_type_t<paxos::snapshot_chunk>) {
        return {get_slot(), get_ballot(), r_.get<log_time>(), paxos::decode_configuration(r_), r_.get<std::uint64_t>(),
                r_.get<std::uint64_t>(), r_.get<std::uint32_t>(), get_bytes()};
    }
    paxos::hand_over get(std::in_place_type_t<paxos::hand_over>) { return {get_ballot()}; }
    paxos::meet get(std::in_place_type_t<paxos::meet>) {
        return {get_list([this] { return detail::get_member(r_); })};
    }
    paxos::change_request get(std::in_place_type_t<paxos::change_request>) {
        return {r_.get<std::uint64_t>(), {get_names(), get_names(), r_.get_bool()}};
    }
    paxos::transfer_request get(std::in_place_type_t<paxos::transfer_request>) {
        return {r_.get<std::uint64_t>(), std::string(r_.get_string())};
    }
    paxos::change_reply get(std::in_place_type_t<paxos::change_reply>) {
        return {r_.get<std::uint64_t>(), r_.get<std::uint8_t>(), std::string(r_.get_string()), r_.get<epoch>()};
    }

    paxos::discover get(std::in_place_type_t<paxos::discover>) {
        return {detail::get_member(r_), r_.get<std::uint32_t>(), get_list([this] { return detail::get_member(r_); }),
                r_.get<cluster_id>()};
    }
    paxos::propose_first get(std::in_place_type_t<paxos::propose_first>) { return {get_first()}; }
    paxos::first_accepted get(std::in_place_type_t<paxos::first_accepted>) { return {r_.get<cluster_id>()}; }
    paxos::first_chosen get(std::in_place_type_t<paxos::first_chosen>) { return {get_first()}; }
    paxos::abandon_first get(std::in_place_type_t<paxos::abandon_first>) { return {r_.get<cluster_id>()}; }
    paxos::first_abandoned get(std::in_place_type_t<paxos::first_abandoned>) { return {r_.get<cluster_id>()}; }
    paxos::welcome get(std::in_place_type_t<paxos::welcome>) {
        return {r_.get<cluster_id>(), paxos::decode_configuration(r_), r_.get_bool(), paxos::decode_configuration(r_)};
    }
};

} // namespace openreplica::inline v0::net
