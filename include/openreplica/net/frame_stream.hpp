// A stream of bytes, taken apart into frames.
#pragma once

#include <openreplica/net/frame.hpp>
#include <openreplica/types/hash.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace openreplica::inline v0::net {

/// What arrives on a connection, until it is complete frames.
///
/// A frame gets a buffer of its own, of its own size: the values in messages are slices of it, and the log keeps them for
/// long. A slice of what one read brought would keep all the room of that read.
///
/// @par Thread safety
/// Distinct objects: safe. Shared objects: unsafe.
class frame_stream {
    std::string buffer_;      ///< room that is used again
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
        if (buffer_.size() < filled_ + size) buffer_.resize(filled_ + size);
        return {buffer_.data() + filled_, buffer_.size() - filled_};
    }
    /// So many bytes have arrived there.
    void add(std::size_t n) { filled_ += n; }

    /// The next frame with a body of at most `max_frame` bytes. After a reason the stream is over.
    [[nodiscard]] next_frame next(std::size_t max_frame) {
        std::string_view const rest = std::string_view(buffer_).substr(at_, filled_ - at_);
        if (rest.size() < frame_header_size) return {};
        auto const header = read_header(rest, max_frame);
        if (auto const* reason = std::get_if<std::string>(&header)) return *reason;
        auto const& h = std::get<frame_header>(header);
        if (rest.size() < frame_header_size + h.length) return {};
        std::string_view const body = rest.substr(frame_header_size, h.length);
        if (crc32c(body) != h.body_checksum) return std::string("a message's checksum is wrong");
        frame f{h, std::make_shared<std::string const>(body), 0};
        at_ += frame_header_size + h.length;
        return f;
    }

    /// What came of the frames that were taken since the last call.
    struct remainder {
        std::size_t size; ///< bytes of a frame that has begun
        bool fresh;       ///< frames were taken before it
    };
    /// Moves the bytes that are left over to the front. The room that a large frame needed is given back; `size` is kept.
    remainder keep_rest(std::size_t size) {
        remainder const r{filled_ - at_, at_ > 0};
        if (r.fresh) {
            if (buffer_.size() > 2 * std::max(r.size, size))
                buffer_ = std::string(buffer_, at_, r.size);
            else
                std::memmove(buffer_.data(), buffer_.data() + at_, r.size);
            filled_ = r.size;
            at_ = 0;
        }
        return r;
    }
};

} // namespace openreplica::inline v0::net
