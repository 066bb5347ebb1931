// Bytes that many may hold and nobody changes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace openreplica::inline v0 {

/// A slice of an immutable buffer that is shared, not copied.
///
/// One received frame or one encoded batch is one buffer; the entries inside it are slices that keep it alive.
///
/// @par Thread safety
/// Distinct objects: safe, also when they share a buffer. Shared objects: unsafe.
class shared_bytes {
    std::shared_ptr<std::string const> buffer_;
    std::size_t offset_ = 0;
    std::size_t size_ = 0;

public:
    shared_bytes() = default;
    explicit shared_bytes(std::string text)
        : buffer_(std::make_shared<std::string const>(std::move(text))), size_(buffer_->size()) {}
    /// The part of `buffer` from `offset`, `size` bytes long; the caller has checked that it lies inside.
    shared_bytes(std::shared_ptr<std::string const> buffer, std::size_t offset, std::size_t size)
        : buffer_(std::move(buffer)), offset_(offset), size_(size) {}

    [[nodiscard]] std::string_view view() const {
        return buffer_ ? std::string_view(buffer_->data() + offset_, size_) : std::string_view{};
    }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] bool empty() const { return size_ == 0; }

    friend bool operator==(shared_bytes const& a, shared_bytes const& b) { return a.view() == b.view(); }
};

/// A byte string as an argument or a result of a replicated method: JSON has no bytes, so it travels as base64.
struct bytes {
    std::string data;
    auto operator<=>(bytes const&) const = default;
};

} // namespace openreplica::inline v0
