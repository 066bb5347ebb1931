// The replicated state as text and back. Included by object_space.hpp.
#pragma once

#include <openreplica/object/object_space.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace openreplica::inline v0::object {

/// Version 1 of a snapshot, one JSON array:
/// `[1,slot,clock,digest,[["name","type",state]…],[[id,timeout,last activity,acked
/// below,[[seq,code,"text","result",at]…]]…]]`.
inline constexpr std::uint32_t snapshot_format = 1;

struct object_space::snapshot_access {
    /// The objects' states add their own depth to the snapshot's; how many members an object has was never limited.
    static json_limits limits() {
        return {.depth = json_limits{}.depth + 8, .members = std::numeric_limits<std::uint32_t>::max()};
    }

    template <class... V>
    static void write_list(std::string& out, V const&... v) {
        char separator = '[';
        ((out += std::exchange(separator, ','), codec<V>::write(out, v)), ...);
    }

    /// Everything that a snapshot holds, as it was at one moment.
    struct frozen {
        struct object {
            std::string name;
            std::string type;
            frozen_object state;
        };
        slot applied;
        log_time clock;
        std::uint64_t digest = 0;
        std::vector<object> objects; ///< by name
        session_table sessions;
        std::shared_ptr<std::atomic<std::size_t>> size; ///< of the latest text: the next one will be like it
        std::string obstacle; ///< what is being frozen or written, for when that fails; empty at the end
    };

    static void freeze_objects(frozen& f, directory const& objects) {
        std::vector<instance_base const*> sorted;
        for (auto const& [id, object] : objects) sorted.push_back(object.get());
        std::ranges::sort(sorted, {}, [](auto const* o) -> std::string const& { return o->name(); });
        for (auto const* object : sorted) {
            f.obstacle = object->name();
            if (object->type().freeze == nullptr) throw json_error("the object has no JSON form");
            f.objects.push_back({object->name(), object->type().name, object->type().freeze(*object)});
        }
    }

    static std::string write(frozen& f) {
        std::string out;
        out.reserve(*f.size + *f.size / 16); // Growing would take twice the memory for a moment.
        write_list(out, snapshot_format, f.applied, f.clock, f.digest);
        out += ",[";
        for (frozen::object& o : f.objects) {
            if (out.back() != '[') out += ',';
            f.obstacle = o.name;
            write_list(out, o.name, o.type);
            out += ',';
            std::exchange(o.state, {})(out); // And its copy goes.
            out += ']';
        }
        out += "],";
        f.obstacle = "the table of sessions";
        write_sessions(out, f.sessions);
        out += ']';
        *f.size = out.size();
        return out;
    }

    static void write_sessions(std::string& out, session_table const& sessions) {
        out += '[';
        for (session_id const id : sessions.ids()) {
            session const& s = *sessions.find(id);
            if (out.back() != '[') out += ',';
            write_list(out, id, s.timeout, s.last_activity, s.acked_below());
            out += ",[";
            s.for_each([&out](sequence seq, call_outcome const& o) {
                if (out.back() != '[') out += ',';
                write_list(out, seq, o.code, o.text, o.result, o.at);
                out += ']';
            });
            out += "]]";
        }
        out += ']';
    }

    template <class V>
    static V next(json_reader& r, json_scope& scope) {
        r.expect_element(scope, "the snapshot ends too early");
        return codec<V>::read(r);
    }
    static void end(json_reader& r, json_scope& scope) { r.expect_end_of_array(scope, "the snapshot has too much"); }
    static json_scope list(json_reader& r, json_scope& scope) {
        r.expect_element(scope, "the snapshot ends too early");
        return r.begin_array();
    }

    static directory read_objects(json_reader& r, json_scope& scope, type_registry const& registry) {
        directory objects;
        for (auto all = list(r, scope); r.next_element(all);) {
            auto one = r.begin_array();
            auto name = next<std::string>(r, one);
            auto const type_name = next<std::string>(r, one);
            type_entry const* const type = registry.find_type(type_name);
            if (type == nullptr || type->read_state == nullptr) r.fail("the snapshot has an object of an unknown type");
            r.expect_element(one, "the snapshot ends too early");
            std::shared_ptr<instance_base> object = type->read_state(*type, r);
            end(r, one);
            object_id const id = object_id_of(name);
            object->set_name(std::move(name));
            if (!objects.emplace(id, std::move(object)).second) r.fail("the snapshot has an object twice");
        }
        return objects;
    }

    static session_table read_sessions(json_reader& r, json_scope& scope) {
        session_table sessions;
        for (auto all = list(r, scope); r.next_element(all);) {
            auto one = r.begin_array();
            session s;
            auto const id = next<session_id>(r, one);
            s.timeout = next<log_time>(r, one);
            s.last_activity = next<log_time>(r, one);
            s.acknowledge(next<sequence>(r, one));
            for (auto results = list(r, one); r.next_element(results);) {
                auto result = r.begin_array();
                auto const seq = next<sequence>(r, result);
                call_outcome o;
                o.code = next<errc>(r, result);
                o.text = next<std::string>(r, result);
                o.result = next<std::string>(r, result);
                o.at = next<slot>(r, result);
                end(r, result);
                if (!s.holds(seq) || s.find(seq) != nullptr) r.fail("the snapshot has a result out of place");
                s.store(seq, std::move(o));
            }
            end(r, one);
            if (!sessions.insert(id, std::move(s))) r.fail("the snapshot has a session twice");
        }
        return sessions;
    }
};

/// Whatever stands in the way (an object without a JSON form, a NaN, text that is no UTF-8, a copy or a `to_json` that
/// throws, too little memory) is an obstacle, and no reason to stop.
inline runtime::frozen_state object_space::freeze() const {
    snapshot_access::frozen f{applied_, clock_, digest_, {}, {}, snapshot_size_, {}};
    try {
        snapshot_access::freeze_objects(f, objects_);
        f.obstacle = "the table of sessions";
        f.sessions = sessions_;
    } catch (...) {
        return [obstacle = std::move(f.obstacle)] { return runtime::written_state{std::nullopt, obstacle}; };
    }
    return [f = std::move(f)]() mutable {
        try {
            return runtime::written_state{snapshot_access::write(f), {}};
        } catch (...) {
            return runtime::written_state{std::nullopt, f.obstacle};
        }
    };
}

inline bool object_space::restore(std::string_view text) {
    try {
        json_reader r(text, snapshot_access::limits());
        auto all = r.begin_array();
        if (snapshot_access::next<std::uint32_t>(r, all) != snapshot_format) return false;
        auto const applied = snapshot_access::next<slot>(r, all);
        auto const clock = snapshot_access::next<log_time>(r, all);
        auto const digest = snapshot_access::next<std::uint64_t>(r, all);
        auto objects = snapshot_access::read_objects(r, all, registry_);
        auto sessions = snapshot_access::read_sessions(r, all);
        snapshot_access::end(r, all);
        r.expect_end();
        {
            std::unique_lock const lock(directory_mutex_);
            objects_.swap(objects);
            for (auto const& [id, object] : objects_) used_types_.insert(object->type().name);
            directory_changed_at_ = applied;
        }
        if (OPENREPLICA_MUTANT(sessions_lost_in_restore)) sessions = session_table{};
        sessions_ = std::move(sessions);
        applied_ = applied;
        clock_ = clock;
        digest_ = digest;
        stop_reason_ = {};
        read_clock_.store(clock.value, std::memory_order_relaxed);
        read_slot_.store(applied.value, std::memory_order_release);
        return true;
    } catch (std::bad_alloc const&) {
        throw;
    } catch (...) { // `from_json` is user code and may throw anything.
        return false;
    }
}

} // namespace openreplica::inline v0::object
