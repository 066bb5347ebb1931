// Sends and fetches snapshots in chunks, on request, so that nothing else waits for them.
#pragma once

#include <openreplica/paxos/message.hpp>
#include <openreplica/paxos/record.hpp>
#include <openreplica/types/hash.hpp>
#include <openreplica/types/instant.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace openreplica::inline v0::runtime {

/// The newest snapshot of this node, and the one that it is fetching from a peer.
///
/// The receiver asks for each chunk, so it sets the pace; a lost chunk is asked for again, at another peer if need be.
class snapshot_transfer {
public:
    static constexpr std::size_t chunk_bytes = 256 * 1024;

    void keep(paxos::snapshot s) {
        checksum_ = crc32c(s.state.view());
        newest_ = std::move(s);
    }
    [[nodiscard]] std::optional<paxos::snapshot> const& newest() const { return newest_; }

    /// The chunk that a peer asks for. One that asks for an older snapshot starts over with the newest.
    [[nodiscard]] std::optional<paxos::snapshot_chunk> serve(paxos::snapshot_request const& m) const {
        if (!newest_) return std::nullopt;
        std::uint64_t const total = newest_->state.size();
        std::uint64_t const offset = m.at == newest_->at ? std::min(m.offset, total) : 0;
        std::size_t const size = static_cast<std::size_t>(std::min<std::uint64_t>(chunk_bytes, total - offset));
        // The chunk keeps no reference into the snapshot, so that an old one goes when the next is taken.
        std::string part(newest_->state.view().substr(static_cast<std::size_t>(offset), size));
        return paxos::snapshot_chunk{newest_->at, newest_->behind, newest_->stamp, newest_->governing, offset,
                                     total, checksum_, shared_bytes(std::move(part))};
    }

    /// A peer has a snapshot that this node needs. The request to send, unless a transfer is under way.
    [[nodiscard]] std::optional<paxos::snapshot_request> begin(instant now, duration patience) {
        if (fetching_ && now - touched_ < patience) return std::nullopt;
        touched_ = now;
        stalled_ = fetching_.has_value();
        if (!fetching_) fetching_ = paxos::snapshot_chunk{};
        return paxos::snapshot_request{fetching_->at, text_.size()};
    }

    /// Takes a chunk. The next request to send to its sender, if more is missing.
    [[nodiscard]] std::optional<paxos::snapshot_request> take(paxos::snapshot_chunk const& m, instant now) {
        if (!fetching_ || m.total > max_total) return std::nullopt;
        // An older one will do when nobody sends the rest of the newer: its only holder may be gone.
        bool const older_will_do = stalled_ && m.at < fetching_->at && m.offset == 0;
        if (m.at > fetching_->at || older_will_do) {
            fetching_ = m;
            text_.clear();
        }
        if (m.at != fetching_->at || m.checksum != fetching_->checksum || m.offset != text_.size() ||
            m.offset + m.data.size() > m.total)
            return std::nullopt;
        text_.append(m.data.view());
        touched_ = now;
        stalled_ = false;
        if (text_.size() < m.total) return paxos::snapshot_request{m.at, text_.size()};
        return std::nullopt;
    }

    /// The whole snapshot once it is here and its checksum holds; a damaged one is forgotten and fetched again.
    [[nodiscard]] std::optional<paxos::snapshot> complete() {
        if (!fetching_ || fetching_->at == slot{} || text_.size() < fetching_->total) return std::nullopt;
        paxos::snapshot_chunk const head = *std::exchange(fetching_, std::nullopt);
        std::string text = std::exchange(text_, {});
        if (crc32c(text) != head.checksum) return std::nullopt;
        return paxos::snapshot{head.at, head.behind, head.stamp, head.governing, shared_bytes(std::move(text))};
    }

private:
    static constexpr std::uint64_t max_total = std::uint64_t{1} << 36;

    std::optional<paxos::snapshot> newest_;
    std::uint32_t checksum_ = 0;
    std::optional<paxos::snapshot_chunk> fetching_; ///< the head of the one that is being fetched
    std::string text_;
    instant touched_{};
    bool stalled_ = false; ///< the last request repeats one that had no answer
};

} // namespace openreplica::inline v0::runtime
