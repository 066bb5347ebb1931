// Sends and fetches snapshots in chunks, on request, so that nothing else waits for them.
#pragma once

#include <openreplica/paxos/message.hpp>
#include <openreplica/paxos/record.hpp>
#include <openreplica/types/hash.hpp>
#include <openreplica/types/instant.hpp>
#include <openreplica/types/mutation.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace openreplica::inline v0::runtime {

/// A snapshot with the CRC32C of its state, which takes too long to be computed where messages are handled.
struct checked_snapshot {
    paxos::snapshot what;
    std::uint32_t checksum = 0;
};
[[nodiscard]] inline checked_snapshot with_checksum(paxos::snapshot s) {
    std::uint32_t const checksum = crc32c(s.state.view());
    return {std::move(s), checksum};
}

/// A snapshot as it arrived. Putting its state together takes long as well.
struct snapshot_parts {
    paxos::snapshot head; ///< everything but the state
    std::vector<shared_bytes> parts;
    std::uint32_t checksum = 0;

    [[nodiscard]] checked_snapshot join() && {
        if (parts.size() == 1) {
            head.state = std::move(parts.front());
        } else {
            std::string text;
            std::size_t size = 0;
            for (shared_bytes const& p : parts) size += p.size();
            text.reserve(size);
            for (shared_bytes& p : parts) {
                text += p.view();
                p = {};
            }
            head.state = shared_bytes(std::move(text));
        }
        return {std::move(head), checksum};
    }
};

/// The newest snapshot of this node, the one that a peer is fetching from it, and the one that it is fetching itself.
///
/// The receiver asks for each chunk, a few ahead, so it sets the pace; a lost chunk is asked for again, at another peer if
/// need be. A snapshot that is being fetched stays until nobody has asked for it for a while, however many newer ones are
/// taken meanwhile: a slow peer would otherwise start over for ever. At most one old snapshot is kept.
class snapshot_transfer {
public:
    static constexpr std::size_t chunk_bytes = 256 * 1024;
    static constexpr std::size_t chunks_ahead = 4; ///< asked for before the first of them is here
    /// Who asked for nothing during this long has given up, or has everything.
    static constexpr duration abandoned_after = std::chrono::seconds(5);

    explicit snapshot_transfer(std::size_t chunk = chunk_bytes) : chunk_(chunk) {}

    void keep(checked_snapshot s, instant now) {
        if (newest_ && newest_->is_fetched(now) && !(pinned_ && pinned_->is_fetched(now))) pinned_ = std::move(newest_);
        newest_ = held{std::move(s.what), s.checksum, std::nullopt};
        if (pinned_ && !pinned_->is_fetched(now)) pinned_.reset();
    }
    [[nodiscard]] paxos::snapshot const* newest() const { return newest_ ? &newest_->what : nullptr; }
    /// The slot of the oldest snapshot that a peer is fetching: it will need the log from there on.
    [[nodiscard]] std::optional<slot> oldest_fetched(instant now) const {
        if (pinned_ && pinned_->is_fetched(now)) return pinned_->what.at;
        if (newest_ && newest_->is_fetched(now)) return newest_->what.at;
        return std::nullopt;
    }

    /// The chunk that a peer asks for. One that asks for a snapshot that is not here starts over with the newest.
    [[nodiscard]] std::optional<paxos::snapshot_chunk> serve(paxos::snapshot_request const& m, instant now) {
        if (!newest_) return std::nullopt;
        held& from = pinned_ && m.at == pinned_->what.at ? *pinned_ : *newest_;
        std::uint64_t const total = from.what.state.size();
        std::uint64_t const offset = m.at == from.what.at ? std::min(m.offset, total) : 0;
        std::size_t const size = static_cast<std::size_t>(std::min<std::uint64_t>(chunk_, total - offset));
        if (offset + size < total) from.asked_at = now;
        // The chunk keeps no reference into the snapshot, so that an old one goes when the next is taken.
        std::string part(from.what.state.view().substr(static_cast<std::size_t>(offset), size));
        return paxos::snapshot_chunk{from.what.at, from.what.behind, from.what.stamp, from.what.governing, offset,
                                     total, from.checksum, shared_bytes(std::move(part))};
    }

    /// One is on its way to this node.
    [[nodiscard]] bool is_fetching(instant now) const { return fetching_ && now - touched_ < abandoned_after; }
    /// A peer has a snapshot that this node needs. The requests to send, unless a transfer is under way.
    [[nodiscard]] std::vector<paxos::snapshot_request> begin(instant now, duration patience) {
        if (fetching_ && now - touched_ < patience) return {};
        touched_ = now;
        stalled_ = fetching_.has_value();
        if (!fetching_) fetching_ = paxos::snapshot_chunk{};
        asked_ = arrived_;
        std::vector<paxos::snapshot_request> first{{fetching_->at, asked_}};
        asked_ += fetching_->data.size(); // Nothing before the first chunk has told the size of one.
        return first;
    }

    /// Takes a chunk. The next requests to send to its sender, if more is missing.
    [[nodiscard]] std::vector<paxos::snapshot_request> take(paxos::snapshot_chunk const& m, instant now) {
        if (!fetching_ || m.total > max_total) return {};
        // Another one, older or newer, will do when nothing is here yet, or when nobody sends the rest of this one: its
        // only holder may be gone.
        bool const fresh = fetching_->at == slot{};
        if (m.offset == 0 && m.at != fetching_->at && (fresh || stalled_)) start(m);
        if (m.at != fetching_->at || m.checksum != fetching_->checksum || m.offset + m.data.size() > m.total) return {};
        if (OPENREPLICA_MUTANT(snapshot_part_twice) && m.offset < arrived_) append(m.data);
        if (m.offset < arrived_ || (m.data.empty() && m.total > 0)) return {};
        if (m.offset > arrived_ && ahead_.size() >= chunks_ahead) return {};
        ahead_.emplace(m.offset, m.data);
        if (m.offset > arrived_) return {};
        for (auto it = ahead_.begin(); it != ahead_.end() && it->first == arrived_; it = ahead_.erase(it))
            append(std::move(it->second));
        std::erase_if(ahead_, [&](auto const& part) { return part.first < arrived_; });
        touched_ = now;
        stalled_ = false;
        return ask_ahead();
    }

    /// The whole snapshot once it is here and its checksum holds; a damaged one is forgotten and fetched again.
    [[nodiscard]] std::optional<snapshot_parts> complete() {
        if (!fetching_ || fetching_->at == slot{} || arrived_ < fetching_->total) return std::nullopt;
        paxos::snapshot_chunk const head = *std::exchange(fetching_, std::nullopt);
        snapshot_parts whole{{head.at, head.behind, head.stamp, head.governing, {}}, std::exchange(parts_, {}), arrived_crc_};
        forget_parts();
        if (whole.checksum != head.checksum && !OPENREPLICA_MUTANT(snapshot_part_twice)) return std::nullopt;
        return whole;
    }

private:
    static constexpr std::uint64_t max_total = std::uint64_t{1} << 36;

    struct held {
        paxos::snapshot what;
        std::uint32_t checksum = 0;
        std::optional<instant> asked_at; ///< when a peer last asked for a part that is not the last

        [[nodiscard]] bool is_fetched(instant now) const { return asked_at && now - *asked_at < abandoned_after; }
    };

    void start(paxos::snapshot_chunk const& head) {
        fetching_ = head;
        forget_parts();
        asked_ = head.data.size();
    }
    void forget_parts() {
        parts_.clear();
        ahead_.clear();
        arrived_ = 0;
        arrived_crc_ = 0;
    }
    void append(shared_bytes part) {
        arrived_ += part.size();
        arrived_crc_ = crc32c(part.view(), arrived_crc_);
        parts_.push_back(std::move(part));
    }

    [[nodiscard]] std::vector<paxos::snapshot_request> ask_ahead() {
        std::vector<paxos::snapshot_request> next;
        std::uint64_t const part = std::max<std::uint64_t>(fetching_->data.size(), 1);
        asked_ = std::max(asked_, arrived_);
        for (; asked_ < fetching_->total && asked_ - arrived_ < chunks_ahead * part; asked_ += part)
            next.push_back({fetching_->at, asked_});
        return next;
    }

    std::size_t chunk_;
    std::optional<held> newest_;
    std::optional<held> pinned_; ///< an older one that a peer is fetching
    std::optional<paxos::snapshot_chunk> fetching_; ///< the first chunk of the one that is being fetched
    std::vector<shared_bytes> parts_; ///< of it, in order
    std::uint64_t arrived_ = 0;       ///< their bytes
    std::uint32_t arrived_crc_ = 0;   ///< their CRC32C
    std::map<std::uint64_t, shared_bytes> ahead_; ///< parts that came before their turn, by offset
    std::uint64_t asked_ = 0; ///< every part below has been asked for
    instant touched_{};
    bool stalled_ = false; ///< the last request repeats one that had no answer
};

} // namespace openreplica::inline v0::runtime
