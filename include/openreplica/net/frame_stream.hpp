// A stream of bytes, taken apart into frames.
#pragma once

#include <openreplica/net/frame.hpp>
#include <openreplica/types/hash.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace openreplica::inline v0::net {

/// What arrives on a connection, until it is complete frames.
///
/// The values in messages are slices of the buffer that they arrived in, so a buffer that had a frame is never written
/// again.
///
/// @par Thread safety
/// Distinct objects: safe. Shared objects: unsafe.
class frame_stream {
    std::shared_ptr<std::string> buffer_ = std::make_shared<std::string>();
    std::size_t filled_ = 0;
    std::size_t at_ = 0; ///< frames before it were taken

public:
    /// A complete frame with a right checksum.
    struct frame {
        frame_header header;
        std::shared_ptr<std::string const> bytes;
        std::size_t body; ///< where the body begins in `bytes`

        [[nodiscard]] std::string_view text() const { return std::string_view(*bytes).substr(body, header.length); }
    };
    /// Nothing yet, a frame, or the reason why these bytes are none.
    using next_frame = std::variant<std::monostate, frame, std::string>;

    /// Where the next bytes go: at least `size` of them.
    [[nodiscard]] std::pair<char*, std::size_t> room(std::size_t size) {
        if (buffer_->size() < filled_ + size) buffer_->resize(filled_ + size);
        return {buffer_->data() + filled_, buffer_->size() - filled_};
    }
    /// So many bytes have arrived there.
    void add(std::size_t n) { filled_ += n; }

    /// The next frame with a body of at most `max_frame` bytes. After a reason the stream is over.
    [[nodiscard]] next_frame next(std::size_t max_frame) {
        std::string_view const rest = std::string_view(*buffer_).substr(at_, filled_ - at_);
        if (rest.size() < frame_header_size) return {};
        auto const header = read_header(rest, max_frame);
        if (auto const* reason = std::get_if<std::string>(&header)) return *reason;
        auto const& h = std::get<frame_header>(header);
        if (rest.size() < frame_header_size + h.length) return {};
        if (crc32c(rest.substr(frame_header_size, h.length)) != h.body_checksum)
            return std::string("a message's checksum is wrong");
        frame f{h, buffer_, at_ + frame_header_size};
        at_ += frame_header_size + h.length;
        return f;
    }

    /// What came of the frames that were taken since the last call.
    struct remainder {
        std::size_t size; ///< bytes of a frame that has begun
        bool fresh;       ///< frames were taken before it
    };
    /// Moves the bytes that are left over to a buffer of their own, with room for `size` at least.
    remainder keep_rest(std::size_t size) {
        remainder const r{filled_ - at_, at_ > 0};
        if (r.fresh) {
            auto next = std::make_shared<std::string>();
            next->reserve(std::max(r.size, size));
            next->append(buffer_->data() + at_, r.size);
            buffer_ = std::move(next);
            filled_ = r.size;
            at_ = 0;
        }
        return r;
    }
};

} // namespace openreplica::inline v0::net
