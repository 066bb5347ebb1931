// Turns the directory of a lost group's member into the first directory of a new cluster.
//
//   1. The new cluster's files are written beside the others, as *.coming, synced and read back.
//   2. The file `new-cluster` says what is going to happen. From here on no node opens the directory.
//   3. The old files become *.before-CLUSTER, and `new-cluster` says so.
//   4. The new files take their names; `new-cluster` goes.
//
// Before step 2 a crash leaves the old member as it was, after it a second run goes on where the first one stopped.
#pragma once

#include <openreplica/storage/data_directory.hpp>
#include <openreplica/storage/disk_log.hpp>
#include <openreplica/storage/heritage.hpp>
#include <openreplica/storage/identity.hpp>
#include <openreplica/storage/recovery.hpp>
#include <openreplica/storage/snapshot_file.hpp>
#include <openreplica/storage/suffixed_directory.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace openreplica::inline v0::storage {

/// What the file `new-cluster` holds: what becomes of the directory, and how far that is.
struct succession {
    enum class step : std::uint8_t { setting_aside = 1, moving_in = 2 };
    step next = step::setting_aside;
    node_id old_node, new_node;
    cluster_id old_cluster, new_cluster;
    endpoint address;           ///< of the new node
    epoch number;               ///< of the configuration in which it is alone
    slot kept;                  ///< the last slot that was taken over
    std::uint64_t unproven = 0; ///< so many of the last entries are not known to be chosen
    std::string damage;         ///< the damage that was accepted, or its beginning

    bool operator==(succession const&) const = default;
    /// What the old files carry behind their names.
    [[nodiscard]] std::string evidence() const { return ".before-" + short_name(new_cluster); }
};

inline constexpr std::string_view succession_magic = "ORNEWCL1";
/// All of a `succession` fits into a sector.
inline constexpr std::size_t max_damage_text = 128;

[[nodiscard]] inline std::string encode(succession const& s) {
    std::string body;
    wire_writer w(body);
    w.put(static_cast<std::uint8_t>(s.next));
    w.put(s.old_node);
    w.put(s.new_node);
    w.put(s.old_cluster);
    w.put(s.new_cluster);
    w.put_string(s.address.host);
    w.put(s.address.port);
    w.put(s.number);
    w.put(s.kept);
    w.put(s.unproven);
    w.put_string(std::string_view(s.damage).substr(0, max_damage_text));
    return sealed::seal(succession_magic, body);
}

[[nodiscard]] inline std::optional<succession> decode_succession(std::string_view file) {
    auto const body = file.size() < sector_size ? std::nullopt : sealed::open(succession_magic, file);
    if (!body) return std::nullopt;
    wire_reader r(*body);
    succession s;
    auto const next = r.get<std::uint8_t>();
    s.next = static_cast<succession::step>(next);
    s.old_node = r.get<node_id>();
    s.new_node = r.get<node_id>();
    s.old_cluster = r.get<cluster_id>();
    s.new_cluster = r.get<cluster_id>();
    s.address.host = r.get_string();
    s.address.port = r.get<std::uint16_t>();
    s.number = r.get<epoch>();
    s.kept = r.get<slot>();
    s.unproven = r.get<std::uint64_t>();
    s.damage = r.get_string();
    if (!r.complete() || next < 1 || next > 2) return std::nullopt;
    return s;
}

/// Makes the first directory of a new cluster, in the place of the old one.
///
/// @par What is written
/// A fresh node id and cluster id. The newest whole snapshot and every entry behind it, as they are, with their ballots. The
/// group's first configuration (epoch 1) names the new node alone. Behind the last entry, a configuration entry with the old
/// epoch + 1 names it alone too, accepted under a ballot of its own above all that were seen, and a record says that
/// everything up to there is chosen: the last configuration governs, whatever the snapshot and the entries before say.
///
/// @par Errors
/// `openreplica::error` `storage_failed`, with a sentence that says whether to run it again.
///
/// @par Thread safety
/// Unsafe; the caller holds the directory's lock.
class new_cluster {
    directory& dir_;
    std::uint64_t segment_bytes_;

public:
    explicit new_cluster(directory& dir, std::uint64_t segment_bytes = data_directory_options{}.segment_bytes)
        : dir_(dir), segment_bytes_(segment_bytes) {}

    /// A run that did not end; nothing when there is none.
    [[nodiscard]] std::optional<succession> interrupted() {
        std::vector<std::string> names;
        detail::check(dir_, dir_.list(names), "listing it");
        if (std::find(names.begin(), names.end(), new_cluster_name) == names.end()) return std::nullopt;
        std::string content;
        detail::check(dir_, read_all(dir_, new_cluster_name, content), "reading what an interrupted run left");
        auto const s = decode_succession(content);
        if (!s)
            detail::fail(dir_, "force_new_cluster was interrupted, and its file new-cluster is damaged; restore the "
                               "directory from a backup, or move its *.before-* files elsewhere under the names before that");
        return s;
    }

    /// Makes the new cluster. The node is alone in it, under the id and at the address of `self`.
    succession make(heritage const& from, paxos::member self, cluster_id cluster) {
        succession s;
        s.old_node = from.node;
        s.new_node = self.id;
        s.old_cluster = from.cluster;
        s.new_cluster = cluster;
        s.address = self.address;
        s.number = epoch{from.governing.number.value + 1};
        s.kept = from.last();
        s.unproven = from.unproven();
        s.damage = from.damage.substr(0, max_damage_text);
        remove_coming();
        try {
            write_beside(from, self, s);
        } catch (error const&) {
            remove_coming(); // A full disk gets its room back.
            throw;
        }
        decide(s);
        return finish(s);
    }

    /// Carries out the rest of what was decided; once more does no harm.
    succession finish(succession s) {
        if (s.next == succession::step::setting_aside) {
            set_aside(s);
            s.next = succession::step::moving_in;
            decide(s);
        }
        move_in();
        return s;
    }

private:
    void check(std::error_code failure, std::string const& what) const { detail::check(dir_, failure, what); }
    /// From the decision on, the way out is forward.
    void check_later(std::error_code failure, std::string const& what) const {
        if (failure)
            detail::fail(dir_, what + " failed: " + failure.message() +
                                   "; check the disk, then run force_new_cluster again: it goes on where it stopped");
    }

    // ---- beside the old files

    void remove_coming() {
        suffixed_directory beside(dir_, coming_suffix);
        std::vector<std::string> names;
        check(beside.list(names), "listing it");
        for (std::string const& n : names) check(beside.remove(n), "removing " + n + std::string(coming_suffix));
    }

    void write_beside(heritage const& from, paxos::member const& self, succession const& s) {
        suffixed_directory beside(dir_, coming_suffix);
        {
            disk_log log(beside, segment_bytes_,
                         recovery(beside, segment_bytes_, [&self] { return self.id; }).open());
            check(log.open(), "opening the new log");
            if (from.base.at > slot{}) check(log.write(from.base), "writing the snapshot again");
            write_log(log, from, self, s);
            check(log.carry_out(log.plan_removal(slot{})), "writing the meta files");
        }
        directory_contents const back = read_directory(beside);
        checkpoint const& told = back.log.tail.state;
        bool const whole = back.whole_identity && back.damage().empty() && !back.log.damage && told.group_chosen &&
                           back.entries.size() == from.entries.size() + 1 &&
                           std::equal(from.entries.begin(), from.entries.end(), back.entries.begin()) &&
                           told.chosen == back.entries.back().at &&
                           (from.base.at == slot{} || (back.snapshots.size() == 1 && back.snapshots.front() == from.base));
        if (!whole) detail::fail(dir_, "the new cluster's files do not read back as they were written; replace the disk");
    }

    void write_log(disk_log& log, heritage const& from, paxos::member const& self, succession const& s) {
        constexpr std::size_t group_bytes = 1u << 20;
        wal_writer& w = log.writer();
        ballot const own{from.highest.round + 1, 0, self.id};
        paxos::first_configuration const first{s.new_cluster, {epoch{1}, {self}}};
        w.add(paxos::founding_record{paxos::founding_record::step::chosen, first});
        std::size_t weight = 0;
        for (paxos::entry const& e : from.entries) {
            w.add(paxos::accept_record{e});
            weight += e.what.weight();
            if (weight >= group_bytes) check(w.commit(), "writing the new log");
            if (weight >= group_bytes) weight = 0;
        }
        slot const end = from.last().next();
        paxos::configuration next = paxos::succeeding(from.governing, {self});
        next.number = s.number;
        paxos::value const alone{paxos::value_kind::configuration, from.stamp, paxos::body_of(next)};
        w.add(paxos::accept_record{{end, own, alone}});
        w.add(paxos::chosen_record{end, own});
        check(w.commit(), "writing the new log");
    }

    // ---- in their place

    void decide(succession const& s) {
        check_later(write_all(dir_, new_cluster_name, {encode(s)}), "writing down what happens");
    }

    /// Whatever has the name of a node's file is the old node's.
    void set_aside(succession const& s) {
        std::vector<std::string> names;
        check_later(dir_.list(names), "listing it");
        for (std::string const& n : names)
            if (detail::is_data(n)) check_later(dir_.rename(n, n + s.evidence()), "setting " + n + " aside");
        // The id stays in its place until another one replaces it: the directory is never without.
        std::string id;
        check_later(read_all(dir_, identity_name, id), "reading the id file");
        check_later(write_all(dir_, identity_name + s.evidence(), {id}), "setting the id aside");
        check_later(dir_.sync(), "syncing the directory");
    }

    /// Whatever is coming comes.
    void move_in() {
        std::vector<std::string> names;
        suffixed_directory beside(dir_, coming_suffix);
        check_later(beside.list(names), "listing it");
        for (std::string const& n : names)
            check_later(dir_.rename(n + std::string(coming_suffix), n), "moving " + n + " to its place");
        check_later(dir_.sync(), "syncing the directory");
        check_later(dir_.remove(new_cluster_name), "ending");
        (void)dir_.sync(); // If the file comes back after a loss of power, all that a further run does is to remove it.
    }
};

} // namespace openreplica::inline v0::storage
