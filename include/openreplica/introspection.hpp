// What a node answers when a person asks what it is, holds and does: JSON, built from what is there anyway.
#pragma once

#include <openreplica/object/object_space.hpp>
#include <openreplica/runtime/guests.hpp>
#include <openreplica/runtime/service.hpp>
#include <openreplica/status.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace openreplica::inline v0::detail {

/// Answers the questions of clients about one node.
///
/// Everything is read where it may be: the status and the log on the strand, sessions where entries are applied, an
/// object's state aside, under its lock for as long as copying it takes.
///
/// @par Lifetime
/// It belongs to the service, and is called by it.
class inspector {
    runtime::service& service_;
    std::shared_ptr<object::object_space> objects_;
    std::function<node_status()> status_;

public:
    using completion = runtime::guests::completion;

    inspector(runtime::service& service, std::shared_ptr<object::object_space> objects, std::function<node_status()> status)
        : service_(service), objects_(std::move(objects)), status_(std::move(status)) {}

    /// On the strand; `done` on any thread.
    void operator()(std::string const& what, std::string const& argument, completion done) const {
        if (what == "status") return done(good(status_().to_json()));
        if (what == "members") return done(good(members()));
        if (what == "objects") return done(good(objects()));
        if (what == "types") return done(good(types()));
        if (what == "log") return done(log(argument));
        if (what == "show") return show(argument, std::move(done));
        if (what == "sessions")
            return service_.run_where_applied([o = objects_, done = std::move(done)]() mutable { done(good(sessions(*o))); });
        if (what == "pending") return done(good(pending()));
        done(failed(errc::bad_arguments, "nobody knows what \"" + printable(what, 64) +
                                             "\" means; ask for status, members, objects, types, show, sessions, pending or "
                                             "log"));
    }

private:
    using json = nlohmann::json;

    static call_outcome good(json const& j) {
        call_outcome o;
        o.result = j.dump(-1, ' ', false, json::error_handler_t::replace);
        return o;
    }
    static std::string hex(std::uint64_t n) {
        char text[17];
        std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(n));
        return text;
    }
    /// JSON where it is some, text where it is not.
    static json readable(std::string_view text) {
        json parsed = json::parse(text, nullptr, false);
        return parsed.is_discarded() ? json(std::string(text)) : parsed;
    }

    /// The voters, and the other nodes that are connected to this one; the leader knows all of them.
    [[nodiscard]] json members() const {
        node_status const s = status_();
        auto const known = service_.acquaintances();
        json list = json::array();
        for (voter_status const& v : s.voters) {
            auto const it = std::find_if(known.begin(), known.end(), [&](auto const& a) { return to_string(a.who.id) == v.id; });
            auto const groups = v.id == s.id ? service_.failure_groups()
                                : it == known.end() ? std::vector<std::string>{} : it->failure_groups;
            list.push_back({{"id", v.id},
                            {"endpoint", v.endpoint},
                            {"role", v.endpoint == s.leader ? "leader" : "voter"},
                            {"connected", v.connected},
                            {"failure_groups", groups}});
        }
        auto const standby = [&](std::string const& id, std::string const& where, std::vector<std::string> const& groups) {
            bool const votes = std::any_of(s.voters.begin(), s.voters.end(), [&](auto const& v) { return v.id == id; });
            if (!votes)
                list.push_back({{"id", id}, {"endpoint", where}, {"role", "standby"}, {"connected", true},
                                {"failure_groups", groups}});
        };
        if (!s.cluster.empty()) standby(s.id, s.endpoint, service_.failure_groups());
        for (auto const& a : known) standby(to_string(a.who.id), to_string(a.who.address), a.failure_groups);
        return {{"cluster", s.cluster}, {"epoch", s.epoch}, {"asked", s.endpoint}, {"members", list}};
    }

    [[nodiscard]] json objects() const {
        json list = json::array();
        for (auto const& o : objects_->list()) list.push_back({{"name", o->name()}, {"type", o->type().name}});
        return list;
    }

    [[nodiscard]] json types() const {
        json list = json::array();
        for (auto const& t : objects_->catalogue())
            list.push_back({{"name", t.name}, {"fingerprint", hex(t.fingerprint)}});
        return list;
    }

    void show(std::string const& name, completion done) const {
        auto const object = objects_->find(object::object_id_of(name));
        if (!object || object->name() != name)
            return done(failed(errc::no_such_object, "this replica has no object \"" + printable(name, 64) + "\""));
        if (object->type().freeze == nullptr)
            return done(failed(errc::bad_result, "\"" + printable(name, 64) + "\" is a " + object->type().name +
                                                     ", which has no JSON form"));
        service_.run_aside([object, done = std::move(done)]() mutable { done(state_of(*object)); });
    }
    static call_outcome state_of(object::instance_base const& object) {
        try {
            object::frozen_object state;
            {
                std::shared_lock const lock(object.mutex());
                state = object.type().freeze(object);
            }
            call_outcome o;
            o.result = "{\"name\":";
            write_json_string(o.result, object.name());
            o.result += ",\"type\":";
            write_json_string(o.result, object.type().name);
            o.result += ",\"state\":";
            state(o.result);
            o.result += '}';
            return o;
        } catch (std::exception const& e) { // A copy and a `to_json` are user code.
            return failed(errc::bad_result,
                          "\"" + printable(object.name(), 64) + "\" cannot be written as JSON: " + printable(e.what()));
        } catch (...) {
            return failed(errc::bad_result, "\"" + printable(object.name(), 64) + "\" cannot be written as JSON");
        }
    }

    static json sessions(object::object_space const& objects) {
        json list = json::array();
        auto const now = static_cast<std::uint64_t>(objects.read_context().now().time_since_epoch().count());
        for (session_id const id : objects.sessions().ids()) {
            object::session const& s = *objects.sessions().find(id);
            std::size_t results = 0;
            s.for_each([&](sequence, call_outcome const&) { ++results; });
            list.push_back({{"id", id.value},
                            {"timeout_ms", s.timeout.value / 1000},
                            {"idle_ms", log_time{now}.since(s.last_activity) / 1000},
                            {"acknowledged_below", s.acked_below().value},
                            {"results", results},
                            {"result_bytes", s.bytes()}});
        }
        return list;
    }

    [[nodiscard]] std::map<object_id, std::string> names() const {
        std::map<object_id, std::string> names;
        for (auto const& o : objects_->list()) names.emplace(object::object_id_of(o->name()), o->name());
        return names;
    }
    static std::string name_of(object_id id, std::map<object_id, std::string> const& names) {
        auto const known = names.find(id);
        return known != names.end() ? known->second : hex(id.value);
    }
    static char const* name_of(command_kind kind) {
        constexpr char const* kinds[] = {"call",         "create",     "destroy",       "reset",
                                         "open_session", "keep_alive", "close_session", "tick"};
        return kinds[static_cast<std::size_t>(kind) - 1];
    }

    /// This process's own calls. No method of this version waits in the replicated state.
    [[nodiscard]] json pending() const {
        auto const known = names();
        json list = json::array();
        for (auto const& c : service_.list_calls())
            list.push_back({{"session", c.session.value},
                            {"sequence", c.number.value},
                            {"kind", name_of(c.kind)},
                            {"object", name_of(c.object, known)},
                            {"command", readable(c.body)},
                            {"attempts", c.attempts}});
        return {{"parked", json::array()}, {"calls", list}};
    }

    /// At most so many entries are told at once.
    static constexpr std::uint32_t most_entries = 10'000;

    [[nodiscard]] call_outcome log(std::string const& argument) const {
        std::uint32_t count = 20;
        auto const [end, failure] = std::from_chars(argument.data(), argument.data() + argument.size(), count);
        if (!argument.empty() && (failure != std::errc{} || end != argument.data() + argument.size()))
            return failed(errc::bad_arguments, "\"" + printable(argument, 64) + "\" is no number of entries");
        auto const known = names();
        json list = json::array();
        for (paxos::entry const& e : service_.log_tail(std::min(count, most_entries))) list.push_back(entry(e, known));
        return good(list);
    }
    static json entry(paxos::entry const& e, std::map<object_id, std::string> const& names) {
        json out = {{"slot", e.at.value},
                    {"ballot", std::to_string(e.accepted.round) + "." + std::to_string(e.accepted.priority) + "." +
                                   short_name(e.accepted.owner)},
                    {"clock_us", e.what.stamp.value}};
        if (e.what.kind != paxos::value_kind::command) {
            out["kind"] = e.what.kind == paxos::value_kind::no_op ? "no_op" : "configuration";
            return out;
        }
        auto const command = decode_envelope(e.what.body.view());
        if (!command) {
            out["kind"] = "unknown";
            return out;
        }
        out["kind"] = name_of(command->kind);
        out["session"] = command->session.value;
        out["sequence"] = command->seq.value;
        out["command"] = readable(command->body);
        if (command->kind <= command_kind::reset) out["object"] = name_of(command->object, names);
        return out;
    }
};

} // namespace openreplica::inline v0::detail
