// Opens a data directory: who the node is, what it remembers, and whether it may still vote.
//
// The order: lock (the directory's owner did), identity, meta, newest valid snapshot, log. What is truncated is kept
// aside first, everything that was recovered is written to disk again and read back, and only then does the node speak.
#pragma once

#include <openreplica/error.hpp>
#include <openreplica/paxos/record.hpp>
#include <openreplica/storage/files.hpp>
#include <openreplica/storage/identity.hpp>
#include <openreplica/storage/snapshot_file.hpp>
#include <openreplica/storage/wal_reader.hpp>
#include <openreplica/storage/wal_writer.hpp>
#include <openreplica/types/mutation.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace openreplica::inline v0::storage {

/// Files that were set aside carry this behind their name. Evidence of the next damage replaces them.
inline constexpr std::string_view evidence_suffix = ".broken";

/// While this file is there, the directory is being turned into the first of a new cluster (`new_cluster.hpp`), and is no
/// node's.
inline constexpr char const* new_cluster_name = "new-cluster";
/// Files of that new cluster that do not count yet carry this behind their name.
inline constexpr std::string_view coming_suffix = ".coming";

/// What a directory holds, before anything in it is touched. Also what a tool prints.
struct directory_contents {
    std::optional<identity> owner;
    bool whole_identity = false; ///< both copies of it are good
    std::optional<meta> last_meta;
    std::vector<paxos::snapshot> snapshots; ///< the valid ones, newest first; without their state if so asked
    std::vector<std::string> bad_snapshots; ///< names
    wal_scan log;
    std::vector<paxos::entry> entries;      ///< contiguous, the newest of each slot
    bool has_gap = false;                   ///< entries are missing behind the newest valid snapshot
    bool has_data = false;                  ///< there are files of a node
    bool is_changing = false;               ///< `force_new_cluster` was interrupted: whatever else is here does not count

    /// Why the node must not vote under its id any more; empty when it may. A write that was cut off is no reason.
    [[nodiscard]] std::string damage() const;
};

/// A directory that is ready to be written to.
struct recovered_directory {
    identity owner;
    paxos::durable_state state;
    wal_tail tail;
    std::vector<slot> snapshots; ///< on disk, newest first
    std::vector<std::string> warnings; ///< sentences: what was found and done
};

namespace detail {

/// Collects the entries of a log as its records go by.
class entry_collector {
    std::vector<paxos::entry> entries_;

public:
    void operator()(wal_record&& r) {
        if (auto* a = std::get_if<paxos::accept_record>(&r)) put(std::move(a->what));
    }
    [[nodiscard]] std::vector<paxos::entry> take() { return std::move(entries_); }

private:
    void put(paxos::entry e) {
        // Behind a hole, a snapshot was installed that reaches up to here. If it is gone, the hole shows.
        if (!entries_.empty() && e.at > entries_.back().at.next()) entries_.clear();
        if (entries_.empty() || e.at == entries_.back().at.next())
            entries_.push_back(std::move(e));
        else if (e.at >= entries_.front().at)
            entries_[static_cast<std::size_t>(e.at.since(entries_.front().at))] = std::move(e);
    }
};

[[noreturn]] inline void fail(directory const& dir, std::string const& sentence) {
    throw error(errc::storage_failed, "data_dir \"" + dir.where() + "\": " + sentence);
}

inline void check(directory const& dir, std::error_code failure, std::string const& what) {
    if (failure) fail(dir, what + " failed: " + failure.message() + "; check the disk, then start again");
}

/// The files that hold a node's data, besides its id. Whatever else is in the directory belongs to somebody else.
[[nodiscard]] inline bool is_data(std::string_view name) {
    return numbered(name, "wal-") || numbered(name, "snapshot-") || name == meta_names[0] || name == meta_names[1];
}

/// Files that a crash left half written are nobody's data.
[[nodiscard]] inline bool is_leftover(std::string_view name) {
    if (name.ends_with(coming_suffix)) {
        name.remove_suffix(coming_suffix.size());
        if (name == identity_name || is_data(name)) return true;
    }
    if (name == spare_name || name == urgent_name || name == snapshot_aside) return true;
    if (!name.ends_with(aside_suffix)) return false;
    name.remove_suffix(aside_suffix.size());
    if (name.ends_with(evidence_suffix)) name.remove_suffix(evidence_suffix.size());
    return name == identity_name || name == new_cluster_name || is_data(name);
}

} // namespace detail

inline std::string directory_contents::damage() const {
    if (OPENREPLICA_MUTANT(wal_truncates_damage)) return {};
    if (log.damage && (log.damage->row->then == verdict::damaged || OPENREPLICA_MUTANT(wal_torn_is_damage))) return log.damage->text();
    if (log.tail.segments.empty()) return "the log is gone (T11)";
    if (!last_meta) return "both meta files are damaged, so that nobody knows how far the log reached (T12)";
    if (!has_gap) return {};
    return bad_snapshots.empty()
               ? "entries are missing between the newest snapshot and the log (T11)"
               : bad_snapshots.front() + " is damaged, and the log does not reach back far enough (T13)";
}

/// Reads a directory without changing it.
///
/// @param visit if set, is called with every record of the log
/// @throws openreplica::error `storage_failed` when a file cannot be read
[[nodiscard]] inline directory_contents read_directory(directory& dir, record_visitor const& visit = {}) {
    directory_contents out;
    std::vector<std::string> names;
    detail::check(dir, dir.list(names), "listing it");
    std::string content;
    bool has_identity = false;
    std::vector<std::string> snapshot_names;
    for (std::string const& n : names) {
        has_identity = has_identity || n == identity_name;
        out.is_changing = out.is_changing || n == new_cluster_name;
        out.has_data = out.has_data || detail::is_data(n) || out.is_changing;
        if (numbered(n, "snapshot-")) snapshot_names.push_back(n);
    }
    if (has_identity) {
        detail::check(dir, read_all(dir, identity_name, content), "reading its id file");
        out.owner = decode_identity(content);
        out.whole_identity = out.owner && content == encode(*out.owner);
        out.has_data = true;
    }
    if (!out.owner) return out;
    node_id const self = out.owner->node;
    out.last_meta = meta_files(dir).read(self);
    std::sort(snapshot_names.rbegin(), snapshot_names.rend());
    for (std::string const& n : snapshot_names) {
        auto const failure = read_all(dir, n, content);
        auto s = failure ? std::nullopt : decode_snapshot(self, content);
        if (s && snapshot_name(s->at) == n)
            out.snapshots.push_back(std::move(*s));
        else
            out.bad_snapshots.push_back(n);
    }
    detail::entry_collector collect;
    record_visitor const both = [&](record_header const& h, wal_record&& r) {
        if (visit) visit(h, wal_record(r));
        collect(std::move(r));
    };
    log_bounds known;
    if (out.last_meta) known = {out.last_meta->durable, out.last_meta->first_segment};
    out.log = wal_reader(dir, self, known, both).scan();
    out.entries = collect.take();
    slot const base = out.snapshots.empty() ? slot{} : out.snapshots.front().at;
    slot const first = out.entries.empty() ? slot{} : out.entries.front().at;
    slot const reach = out.entries.empty() ? base : std::max(base, out.entries.back().at);
    out.has_gap = first > base.next() || (out.last_meta && out.last_meta->snapshot > reach);
    return out;
}

/// Opens, repairs or makes a directory.
class recovery {
    directory& dir_;
    std::uint64_t segment_bytes_;
    std::function<node_id()> fresh_id_;
    recovered_directory out_;
    directory_contents found_;

public:
    recovery(directory& dir, std::uint64_t segment_bytes, std::function<node_id()> fresh_id)
        : dir_(dir), segment_bytes_(segment_bytes), fresh_id_(std::move(fresh_id)) {}

    /// Running it again after a crash in the middle of it gives the same answer.
    ///
    /// @throws openreplica::error `storage_failed` with a sentence when a person must decide
    [[nodiscard]] recovered_directory open() {
        found_ = read_directory(dir_);
        if (!found_.has_data) return make(identity{fresh_id_(), false, false});
        if (found_.is_changing)
            detail::fail(dir_, "it was being turned into the first directory of a new cluster when that was interrupted; run "
                               "force_new_cluster (or openreplica-log force-new-cluster) on it again, which finishes it");
        if (!found_.owner)
            detail::fail(dir_, "there are files of a node, but the file that says whose they are is missing or damaged; "
                               "restore the whole directory from a backup, or move it away to start as a new node");
        if (found_.log.failure) detail::check(dir_, found_.log.failure, "reading " + found_.log.failed_file);
        if (!found_.owner->ready) return has_lived() ? set_aside("the id file is an old one") : make(*found_.owner);
        std::string const damage = found_.damage();
        return damage.empty() ? go_on() : set_aside(damage);
    }

    /// Everything in the directory is set aside, and it begins again under a fresh id.
    [[nodiscard]] recovered_directory start_over(identity const& fresh) {
        std::string old;
        if (!read_all(dir_, identity_name, old))
            detail::check(dir_, write_all(dir_, identity_name + std::string(evidence_suffix), {old}), "keeping the old id");
        return make(fresh);
    }

private:
    // ---- judging

    /// Whether there is more than making a directory leaves behind.
    [[nodiscard]] bool has_lived() const {
        return found_.log.records > 1 || found_.log.tail.segments.size() > 1 || !found_.snapshots.empty() ||
               (found_.last_meta && found_.last_meta->durable > lsn{1});
    }

    /// A damaged directory: its evidence stays, and the node comes back as another one, which asks the group for
    /// everything. Alone it has nobody to ask.
    [[nodiscard]] recovered_directory set_aside(std::string const& damage) {
        std::size_t voters = std::max<std::size_t>(found_.last_meta ? found_.last_meta->voters : 0,
                                                   found_.log.tail.state.group.members.voters.size());
        for (paxos::snapshot const& s : found_.snapshots) voters = std::max(voters, s.governing.voters.size());
        if (voters < 2)
            detail::fail(dir_, damage + "; acknowledged data may be missing and no other node is known to have a copy: "
                                        "restore the directory from a backup, or move it away to start with nothing");
        out_.warnings.push_back("data_dir \"" + dir_.where() + "\" is damaged: " + damage +
                                "; acknowledged data may be missing, so this node does not vote under its old id again. "
                                "Its files are kept as *" + std::string(evidence_suffix) +
                                ", and it joins its group as a new node");
        return start_over(identity{OPENREPLICA_MUTANT(damaged_node_keeps_id) ? found_.owner->node : fresh_id_(), false, true});
    }

    // ---- making a directory

    /// The identity goes first, unready: whatever a crash leaves behind it is then known to be nobody's.
    [[nodiscard]] recovered_directory make(identity owner) {
        using detail::check;
        owner.ready = false;
        std::string id = encode(owner);
        check(dir_, write_all(dir_, identity_name, {id}), "writing the id file");
        std::vector<std::string> names;
        check(dir_, dir_.list(names), "listing it");
        for (std::string const& n : names) {
            // What an earlier attempt at making this very id left must not take the place of evidence.
            if (detail::is_leftover(n) || (detail::is_data(n) && is_of(owner.node, n)))
                check(dir_, dir_.remove(n), "removing " + n);
            else if (detail::is_data(n))
                check(dir_, dir_.rename(n, n + std::string(evidence_suffix)), "setting " + n + " aside");
        }
        out_.owner = owner;
        out_.tail = {};
        out_.tail.chain = chain_seed(owner.node);
        begin_segment(1);
        write_meta();
        owner.ready = true;
        id = encode(owner);
        check(dir_, write_all(dir_, identity_name, {id}), "writing the id file");
        out_.owner = owner;
        return std::move(out_);
    }

    [[nodiscard]] bool is_of(node_id node, std::string const& name) {
        std::string content;
        if (read_all(dir_, name, content)) return false;
        auto const header = decode_segment_header(content);
        return numbered(name, "wal-") ? header && header->node == node : decode_meta(content, node).has_value();
    }

    /// Writes a new segment that holds nothing but a checkpoint, behind everything that was recovered.
    void begin_segment(std::uint64_t number) {
        using detail::check;
        check(dir_, prepare_segment(dir_, spare_name, segment_bytes_), "preparing a segment of the log");
        auto [f, failure] = dir_.open(spare_name, directory::mode::existing);
        check(dir_, failure, "opening a segment of the log");
        std::string payload, head;
        encode_payload(out_.tail.state, payload);
        record_header h{static_cast<std::uint32_t>(payload.size()), 'S', out_.tail.last.next(), out_.tail.chain,
                        out_.tail.last, crc32c(payload)};
        encode(h, head);
        std::string const bytes = encode(segment_header{out_.owner.node, number}) + head + payload;
        check(dir_, f->write(0, {bytes}), "writing the log");
        check(dir_, f->sync(), "syncing the log");
        check(dir_, dir_.rename(spare_name, segment_name(number)), "naming a segment of the log");
        check(dir_, dir_.sync(), "syncing the directory");
        out_.tail.segments.push_back({number, {}});
        out_.tail.last = h.at;
        out_.tail.chain = chain_after(head);
        out_.tail.offset = segment_header_size + h.span();
    }

    void write_meta() {
        meta_files files(dir_);
        (void)files.read(out_.owner.node);
        meta m;
        m.node = out_.owner.node;
        m.promised = out_.tail.state.promised;
        m.snapshot = out_.snapshots.empty() ? slot{} : out_.snapshots.front();
        m.first_segment = out_.tail.segments.front().number;
        m.durable = out_.tail.last;
        m.voters = static_cast<std::uint32_t>(out_.tail.state.group.members.voters.size());
        detail::check(dir_, files.write(m), "writing the meta files");
    }

    // ---- going on

    [[nodiscard]] recovered_directory go_on() {
        wal_scan const& log = found_.log;
        out_.owner = *found_.owner;
        out_.tail = log.tail;
        if (log.damage)
            out_.warnings.push_back("data_dir \"" + dir_.where() + "\": " + log.damage->text() +
                                    "; it was never acknowledged, so it is cut off");
        for (std::string const& n : found_.bad_snapshots) {
            out_.warnings.push_back("data_dir \"" + dir_.where() + "\": " + n +
                                    " is damaged and set aside; an older one and the log replace it (T13)");
            detail::check(dir_, dir_.rename(n, n + std::string(evidence_suffix)), "setting " + n + " aside");
        }
        if (!found_.whole_identity) {
            out_.warnings.push_back("data_dir \"" + dir_.where() +
                                    "\": one copy of the id was damaged; it is written again from the other");
            detail::check(dir_, write_all(dir_, identity_name, {encode(out_.owner)}), "writing the id file");
        }
        rewrite_last_segment();
        remove_leftovers();
        out_.state = remembered();
        for (paxos::snapshot const& s : found_.snapshots) out_.snapshots.push_back(s.at);
        begin_segment(out_.tail.segments.back().number + 1);
        write_meta();
        return std::move(out_);
    }

    /// The last segment is written anew, without what lies behind its last record: the page cache may show bytes that the
    /// disk never got, and a sync that failed once says nothing when it succeeds.
    void rewrite_last_segment() {
        using detail::check;
        std::string const name = segment_name(out_.tail.segments.back().number);
        std::string content, back;
        check(dir_, read_all(dir_, name, content), "reading " + name);
        if (found_.log.damage && !found_.log.last_bytes.empty())
            check(dir_, write_all(dir_, name + std::string(evidence_suffix), {found_.log.last_bytes}), "keeping a torn tail");
        if (!OPENREPLICA_MUTANT(wal_keeps_torn_tail)) content.resize(static_cast<std::size_t>(out_.tail.offset));
        check(dir_, write_all(dir_, name, {content}), "writing " + name);
        check(dir_, read_all(dir_, name, back), "reading " + name);
        if (back != content) detail::fail(dir_, name + " does not read back as it was written; replace the disk");
        for (segment_info const& s : out_.tail.segments) {
            auto [f, failure] = dir_.open(segment_name(s.number), directory::mode::existing);
            if (!failure) failure = f->sync();
            check(dir_, failure, "syncing " + segment_name(s.number));
        }
        check(dir_, dir_.sync(), "syncing the directory");
    }

    void remove_leftovers() {
        std::vector<std::string> names;
        detail::check(dir_, dir_.list(names), "listing it");
        for (std::string const& n : names)
            if (detail::is_leftover(n) || is_trimmed(n)) detail::check(dir_, dir_.remove(n), "removing " + n);
    }

    /// A segment that a crash kept from being removed.
    [[nodiscard]] bool is_trimmed(std::string const& name) const {
        auto const number = numbered(name, "wal-");
        return number && *number < out_.tail.segments.front().number;
    }

    [[nodiscard]] paxos::durable_state remembered() {
        checkpoint const& last = found_.log.tail.state;
        paxos::durable_state s;
        s.group = last.group;
        s.group_chosen = last.group_chosen;
        s.abandoned = last.abandoned;
        s.promised = std::max(last.promised, found_.last_meta->promised);
        if (!found_.snapshots.empty()) s.base = found_.snapshots.front();
        for (paxos::entry& e : found_.entries)
            if (e.at > s.base.at) s.entries.push_back(std::move(e));
        // A hint may be ahead of the snapshot that was being installed when the power went.
        s.chosen = std::clamp(last.chosen, s.base.at, s.entries.empty() ? s.base.at : s.entries.back().at);
        return s;
    }
};

} // namespace openreplica::inline v0::storage
