// What an operator may order from a shell: other voters, another leader.
#pragma once

#include <openreplica/runtime/service.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace openreplica::inline v0::detail {

/// An order as JSON text: `{"add":["host:port"],"remove":["id"]}`, `{"set":[…]}` for exactly these voters, or
/// `{"transfer":"host:port"}`. Nothing when it is none of these.
[[nodiscard]] inline std::optional<runtime::engine::change_wish> read_order(std::string const& text) {
    auto const j = nlohmann::json::parse(text, nullptr, false);
    if (!j.is_object() || j.empty()) return std::nullopt;
    auto const names = [&](char const* key, std::vector<std::string>& out) {
        auto const it = j.find(key);
        if (it == j.end()) return true;
        if (!it->is_array()) return false;
        for (auto const& name : *it) {
            if (!name.is_string()) return false;
            out.push_back(name);
        }
        return true;
    };
    if (j.contains("transfer")) {
        bool const fits = j.size() == 1 && j["transfer"].is_string();
        return fits ? std::optional<runtime::engine::change_wish>(j["transfer"].get<std::string>()) : std::nullopt;
    }
    paxos::voter_change change;
    change.exactly = j.contains("set");
    if (!names(change.exactly ? "set" : "add", change.add) || !names("remove", change.remove)) return std::nullopt;
    std::size_t const known = j.count("set") + j.count("add") + j.count("remove");
    if (known != j.size() || (change.exactly && known != 1)) return std::nullopt;
    return change;
}

/// Carries out what clients order.
inline void carry_out_order(runtime::service& service, std::string const& text, runtime::guests::completion done) {
    if (auto wish = read_order(text)) {
        (void)service.wish(*std::move(wish), {}, std::move(done));
        return;
    }
    done(failed(errc::bad_arguments, "this is no order: give {\"add\":[…],\"remove\":[…]}, {\"set\":[…]} or {\"transfer\":\"…\"}"));
}

} // namespace openreplica::inline v0::detail
