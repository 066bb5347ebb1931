// Files of a POSIX system.
#pragma once

#include <openreplica/error.hpp>
#include <openreplica/storage/files.hpp>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

namespace openreplica::inline v0::storage {

namespace detail {

[[nodiscard]] inline std::error_code last_error() { return {errno, std::system_category()}; }

/// Owns a file descriptor.
class descriptor {
    int fd_;

public:
    explicit descriptor(int fd) : fd_(fd) {}
    descriptor(descriptor&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
    descriptor& operator=(descriptor&& o) noexcept {
        std::swap(fd_, o.fd_);
        return *this;
    }
    ~descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    [[nodiscard]] int get() const { return fd_; }
    [[nodiscard]] bool is_open() const { return fd_ >= 0; }
};

/// Repeats a system call that a signal interrupted.
template <class Call>
auto uninterrupted(Call call) {
    decltype(call()) r;
    do r = call();
    while (r < 0 && errno == EINTR);
    return r;
}

} // namespace detail

class posix_file final : public file {
    detail::descriptor fd_;

public:
    explicit posix_file(detail::descriptor fd) : fd_(std::move(fd)) {}

    [[nodiscard]] std::error_code write(std::uint64_t at, std::vector<std::string_view> const& parts) override {
        std::vector<iovec> rest;
        rest.reserve(parts.size());
        for (std::string_view p : parts)
            if (!p.empty()) rest.push_back({const_cast<char*>(p.data()), p.size()});
        std::size_t first = 0;
        while (first < rest.size()) {
            auto const count = static_cast<int>(std::min<std::size_t>(rest.size() - first, IOV_MAX));
            auto const n = detail::uninterrupted(
                [&] { return ::pwritev(fd_.get(), &rest[first], count, static_cast<off_t>(at)); });
            if (n < 0) return detail::last_error();
            if (n == 0) return std::make_error_code(std::errc::no_space_on_device);
            at += static_cast<std::uint64_t>(n);
            auto taken = static_cast<std::size_t>(n);
            for (; first < rest.size() && taken >= rest[first].iov_len; ++first) taken -= rest[first].iov_len;
            if (taken > 0) {
                rest[first].iov_base = static_cast<char*>(rest[first].iov_base) + taken;
                rest[first].iov_len -= taken;
            }
        }
        return {};
    }

    [[nodiscard]] std::error_code read(std::uint64_t at, std::size_t n, std::string& out) override {
        std::size_t const old = out.size();
        out.resize(old + n);
        std::size_t have = 0;
        while (have < n) {
            auto const got = detail::uninterrupted([&] {
                return ::pread(fd_.get(), out.data() + old + have, n - have, static_cast<off_t>(at + have));
            });
            if (got < 0) return detail::last_error();
            if (got == 0) break;
            have += static_cast<std::size_t>(got);
        }
        out.resize(old + have);
        return {};
    }

    [[nodiscard]] std::error_code sync() override {
        return detail::uninterrupted([&] { return ::fdatasync(fd_.get()); }) < 0 ? detail::last_error() : std::error_code{};
    }

    [[nodiscard]] std::error_code size(std::uint64_t& out) override {
        struct stat s {};
        if (::fstat(fd_.get(), &s) < 0) return detail::last_error();
        out = static_cast<std::uint64_t>(s.st_size);
        return {};
    }
};

/// A directory on a local file system, locked for as long as this object lives.
class posix_directory final : public directory {
    std::string path_;
    detail::descriptor dir_;
    detail::descriptor lock_;

public:
    enum class access { exclusive, read_only };

    /// Makes the directory if it does not exist (with its parents' names made durable by the parent's sync).
    ///
    /// @throws openreplica::error `storage_failed` when it cannot be opened or, with exclusive access, when another
    /// node holds it.
    explicit posix_directory(std::string path, access a = access::exclusive)
        : path_(std::move(path)), dir_(-1), lock_(-1) {
        if (a == access::exclusive && ::mkdir(path_.c_str(), 0700) < 0 && errno != EEXIST) fail("cannot be created");
        dir_ = detail::descriptor(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!dir_.is_open()) fail("cannot be opened");
        if (a == access::read_only) return;
        lock_ = detail::descriptor(::openat(dir_.get(), "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        if (!lock_.is_open()) fail("cannot be written to");
        if (detail::uninterrupted([&] { return ::flock(lock_.get(), LOCK_EX | LOCK_NB); }) < 0) {
            if (errno != EWOULDBLOCK) fail("cannot be locked");
            throw error(errc::storage_failed, "data_dir \"" + path_ + "\" is in use by another node: two nodes never "
                                              "share a directory; stop the other one, or give this one a directory of its "
                                              "own");
        }
        sync_parent();
    }

    [[nodiscard]] std::pair<std::unique_ptr<file>, std::error_code> open(std::string const& name, mode m) override {
        int const create = m == mode::fresh ? O_CREAT | O_TRUNC : 0;
        int const way = lock_.is_open() ? O_RDWR : O_RDONLY;
        detail::descriptor fd(
            detail::uninterrupted([&] { return ::openat(dir_.get(), name.c_str(), way | O_CLOEXEC | create, 0600); }));
        if (!fd.is_open()) return {std::unique_ptr<file>{}, detail::last_error()};
        return {std::make_unique<posix_file>(std::move(fd)), std::error_code{}};
    }

    [[nodiscard]] std::error_code list(std::vector<std::string>& names) override {
        names.clear();
        struct closer {
            void operator()(DIR* d) const { ::closedir(d); }
        };
        std::unique_ptr<DIR, closer> const d(::opendir(path_.c_str()));
        if (!d) return detail::last_error();
        errno = 0;
        while (dirent const* entry = ::readdir(d.get())) {
            std::string name = entry->d_name;
            if (name != "." && name != ".." && name != "lock") names.push_back(std::move(name));
        }
        if (errno != 0) return detail::last_error();
        std::sort(names.begin(), names.end());
        return {};
    }

    [[nodiscard]] std::error_code rename(std::string const& from, std::string const& to) override {
        return ::renameat(dir_.get(), from.c_str(), dir_.get(), to.c_str()) < 0 ? detail::last_error() : std::error_code{};
    }
    [[nodiscard]] std::error_code remove(std::string const& name) override {
        return ::unlinkat(dir_.get(), name.c_str(), 0) < 0 ? detail::last_error() : std::error_code{};
    }
    [[nodiscard]] std::error_code sync() override {
        return detail::uninterrupted([&] { return ::fsync(dir_.get()); }) < 0 ? detail::last_error() : std::error_code{};
    }
    [[nodiscard]] std::string where() const override { return path_; }

private:
    [[noreturn]] void fail(std::string const& what) const {
        throw error(errc::storage_failed, "data_dir \"" + path_ + "\" " + what + ": " + detail::last_error().message() +
                                          "; check that the path exists and that this process may write there");
    }
    /// A directory that was just made is certain once its own name is.
    void sync_parent() const {
        auto const slash = path_.find_last_of('/', path_.find_last_not_of('/'));
        std::string const parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path_.substr(0, slash);
        detail::descriptor const up(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (up.is_open()) (void)detail::uninterrupted([&] { return ::fsync(up.get()); });
    }
};

} // namespace openreplica::inline v0::storage
