// File systems that only this test program and its children see, and that vanish with them, however they end.
#pragma once

#include <doctest/doctest.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

namespace mounts {

namespace fs = std::filesystem;

inline bool run(std::string const& command) { return std::system((command + " >/dev/null 2>&1").c_str()) == 0; }

/// Gives this process mounts of its own, before it starts threads or children. Empty, or why that is not possible.
/// Its children share them: one with a copy of its own would keep a file system alive that the test unmounts.
inline std::string make_private() {
    if (geteuid() != 0) return "only root may mount file systems";
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        return std::string("this process may not have mounts of its own: ") + std::strerror(errno);
    return {};
}

/// A mounted file system. Its processes must have ended before it goes.
class file_system {
    fs::path image_; ///< empty: tmpfs
    fs::path where_;
    std::string options_;
    bool mounted_ = false;

public:
    /// An ext4 file system in a file, or a tmpfs when there is none.
    file_system(fs::path image, fs::path where, std::string const& size)
        : image_(std::move(image)), where_(std::move(where)), options_("size=" + size) {
        fs::create_directories(where_);
        if (!image_.empty() && !run("truncate -s " + size + " " + image_.string() + " && mkfs.ext4 -q -F " + image_.string()))
            return;
        mount_it();
    }
    file_system(file_system const&) = delete;
    file_system& operator=(file_system const&) = delete;
    ~file_system() {
        if (mounted_ && umount(where_.c_str()) != 0) (void)umount2(where_.c_str(), MNT_DETACH);
    }

    [[nodiscard]] bool is_mounted() const { return mounted_; }
    [[nodiscard]] fs::path const& path() const { return where_; }

    /// From this moment on nothing reaches the disk, not even the journal of the file system: the power is gone.
    [[nodiscard]] bool cut_power() {
        constexpr unsigned long ext4_shutdown = 0x8004587d;
        std::uint32_t no_log_flush = 2;
        int const fd = open(where_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        bool const done = fd >= 0 && ioctl(fd, ext4_shutdown, &no_log_flush) == 0;
        if (fd >= 0) close(fd);
        return done;
    }
    /// What a machine that starts again finds on the disk.
    [[nodiscard]] bool mount_again() {
        if (umount(where_.c_str()) != 0) return false;
        mounted_ = false;
        mount_it();
        return mounted_;
    }

private:
    void mount_it() {
        mounted_ = image_.empty() ? mount("tmpfs", where_.c_str(), "tmpfs", 0, options_.c_str()) == 0
                                  : run("mount -o loop " + image_.string() + " " + where_.string());
    }
};

inline void write_file(fs::path const& name, std::string const& content, bool sync) {
    int const fd = open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    CHECK(write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
    if (sync) CHECK(fsync(fd) == 0);
    close(fd);
}

/// Whether the power of a file system can be cut here: what was synced survives, and what was not does not. Empty, or
/// why not.
inline std::string why_power_cannot_be_cut(fs::path const& directory) {
    file_system probe(directory / "probe.img", directory / "probe", "32M");
    if (!probe.is_mounted()) return "an ext4 image cannot be made or mounted (mkfs.ext4, mount, a free loop device)";
    write_file(probe.path() / "synced", "kept", true);
    write_file(probe.path() / "not synced", "lost", false);
    if (!probe.cut_power()) return "ext4 does not know the shutdown request";
    if (!probe.mount_again()) return "the image cannot be mounted again";
    if (!fs::exists(probe.path() / "synced")) return "a synced file did not survive: this disk cannot be tested";
    if (fs::exists(probe.path() / "not synced")) return "a file that was not synced survived: no power was cut";
    return {};
}

} // namespace mounts
