// What a storage needs of an operating system's files; tests put a disk that fails behind it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace openreplica::inline v0::storage {

/// One open file.
///
/// @par Errors
/// Every operation returns the error of the operating system, or a zero code. After a failed `sync` nothing that was
/// written since the last successful one may be trusted, not even if a later `sync` succeeds.
///
/// @par Thread safety
/// Unsafe.
class file {
public:
    virtual ~file() = default;

    /// Writes all parts, one behind the other, from byte `at` on. A short write is finished or reported as an error.
    [[nodiscard]] virtual std::error_code write(std::uint64_t at, std::vector<std::string_view> const& parts) = 0;
    /// Appends up to `n` bytes from byte `at` on to `out`; fewer only at the end of the file.
    [[nodiscard]] virtual std::error_code read(std::uint64_t at, std::size_t n, std::string& out) = 0;
    /// Makes data and size survive a loss of power.
    [[nodiscard]] virtual std::error_code sync() = 0;
    [[nodiscard]] virtual std::error_code size(std::uint64_t& out) = 0;
};

/// One directory that belongs to one node.
///
/// @par Order
/// Names are as volatile as data: a created, renamed or removed file is only certain after `sync`.
class directory {
public:
    virtual ~directory() = default;

    enum class mode { existing, fresh }; ///< `fresh` creates the file, or empties the one that is there

    [[nodiscard]] virtual std::pair<std::unique_ptr<file>, std::error_code> open(std::string const& name, mode m) = 0;
    [[nodiscard]] virtual std::error_code list(std::vector<std::string>& names) = 0;
    /// Replaces `to` if it exists.
    [[nodiscard]] virtual std::error_code rename(std::string const& from, std::string const& to) = 0;
    [[nodiscard]] virtual std::error_code remove(std::string const& name) = 0;
    [[nodiscard]] virtual std::error_code sync() = 0;
    /// For sentences: where it is.
    [[nodiscard]] virtual std::string where() const = 0;
};

/// Reads a whole file. A file that does not exist is an error like any other.
[[nodiscard]] inline std::error_code read_all(directory& dir, std::string const& name, std::string& out) {
    auto [f, failure] = dir.open(name, directory::mode::existing);
    std::uint64_t size = 0;
    if (!failure) failure = f->size(size);
    out.clear();
    if (!failure) failure = f->read(0, static_cast<std::size_t>(size), out);
    return failure;
}

/// What `write_all` puts behind the name of a file that it has not finished.
inline constexpr std::string_view aside_suffix = ".tmp";

/// Writes a whole file so that a crash leaves either none or all of it: aside, synced, renamed, directory synced.
[[nodiscard]] inline std::error_code write_all(directory& dir, std::string const& name,
                                               std::vector<std::string_view> const& parts) {
    std::string const aside = name + std::string(aside_suffix);
    auto [f, failure] = dir.open(aside, directory::mode::fresh);
    if (!failure) failure = f->write(0, parts);
    if (!failure) failure = f->sync();
    f.reset();
    if (!failure) failure = dir.rename(aside, name);
    if (!failure) failure = dir.sync();
    return failure;
}

} // namespace openreplica::inline v0::storage
