// A simulated disk with one directory: it forgets what was not synced, and it fails on command.
//
// Nothing here is random or has threads: whoever tests passes the randomness in, so that a run can be repeated.
#pragma once

#include <openreplica/storage/files.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace storage_test {

namespace storage = openreplica::storage;

/// Thrown where the power goes; every operation throws it until `simulated_disk::crash` is called.
struct power_loss {};

/// Gives 64 random bits.
using random_bits = std::function<std::uint64_t()>;

/// What becomes of data that were written and not synced when the power goes.
enum class survivors { none, all, random };

/// One operation on the disk, as a fault sees it.
struct operation {
    enum class kind { open, create, list, read, size, write, sync, rename, remove, sync_names };
    kind what = kind::open;
    std::string name;
    std::uint64_t number = 0; ///< of the operations that change something, from 1; 0 for the others
};

/// The disk: files, names, and what of both is durable.
///
/// @par Model
/// A write dirties whole sectors; `sync` of a file makes its sectors and its size durable, `sync` of the directory the
/// names. A crash keeps what is durable, a subset of the dirty sectors, and a prefix of the operations on names that were
/// not synced. A size that grew without data is filled with zeros.
class simulated_disk {
public:
    static constexpr std::size_t sector = 512;

    struct inode {
        std::string now;              ///< what a reader sees
        std::string disk;             ///< what is left after a crash that keeps nothing
        std::set<std::size_t> dirty;  ///< sectors in which the two may differ
        bool resized = false;         ///< the size is not durable
        std::size_t lowest = 0;       ///< the least size since the last sync: what lies behind was cut off
    };
    using names_map = std::map<std::string, std::shared_ptr<inode>>;

    // ---- faults at run time

    /// Called before every operation; an error is returned instead of doing it. A `sync` that fails this way drops the
    /// dirty sectors and marks them clean, as Linux does: readers still see them, the disk never gets them.
    std::function<std::error_code(operation const&)> fault;
    /// How many bytes of a write that fails are written all the same.
    std::size_t short_write_bytes = 0;
    /// Room for the contents of all files, bytes. A write that does not fit writes what does, and fails.
    std::uint64_t capacity = ~std::uint64_t{0};
    /// The power goes before the changing operation of this number; 0: it does not.
    std::uint64_t lose_power_at = 0;

    /// How many operations that change something there were.
    [[nodiscard]] std::uint64_t changes() const { return changes_; }
    [[nodiscard]] bool is_dark() const { return dark_; }

    // ---- crashes

    /// Loses the power if it is still there, and gives it back.
    void crash(survivors keep, random_bits const& bits) {
        std::size_t names_kept = keep == survivors::all ? pending_.size() : 0;
        if (keep == survivors::random) names_kept = static_cast<std::size_t>(bits() % (pending_.size() + 1));
        std::set<std::shared_ptr<inode>> touched;
        for (auto const& [name, node] : names_) touched.insert(node);
        for (auto const& [name, node] : durable_names_) touched.insert(node);
        for (std::size_t i = 0; i < names_kept; ++i) apply(pending_[i], durable_names_);
        for (auto const& node : touched) settle(*node, keep, bits);
        names_ = durable_names_;
        pending_.clear();
        dark_ = false;
        lose_power_at = 0;
        ++boots_;
    }
    /// The machine forgets clean pages, and reads the disk again.
    void drop_caches() {
        for (auto const& [name, node] : names_)
            if (node->dirty.empty() && !node->resized) node->now = node->disk;
    }

    // ---- damage at rest; a file that does not exist is an error of the test

    [[nodiscard]] std::string const& content(std::string const& name) const { return names_.at(name)->now; }
    [[nodiscard]] bool exists(std::string const& name) const { return names_.contains(name); }
    void set_content(std::string const& name, std::string bytes) {
        auto& node = names_[name];
        node = std::make_shared<inode>();
        node->now = node->disk = std::move(bytes);
        node->lowest = node->now.size();
        durable_names_[name] = node;
    }
    void erase(std::string const& name) {
        names_.erase(name);
        durable_names_.erase(name);
    }
    void flip_bit(std::string const& name, std::uint64_t bit) {
        change(name, [&](std::string& s) {
            char& c = s.at(static_cast<std::size_t>(bit / 8));
            c = static_cast<char>(static_cast<unsigned char>(c) ^ (1u << (bit % 8)));
        });
    }
    void put_sector(std::string const& name, std::size_t index, std::string_view bytes) {
        change(name, [&](std::string& s) {
            std::size_t const size = std::min(bytes.size(), s.size() - std::min(s.size(), index * sector));
            s.replace(index * sector, size, bytes.substr(0, size));
        });
    }
    void zero_sector(std::string const& name, std::size_t index) { put_sector(name, index, std::string(sector, '\0')); }
    void swap_sectors(std::string const& name, std::size_t a, std::size_t b) {
        std::string const was_a = content(name).substr(a * sector, sector), was_b = content(name).substr(b * sector, sector);
        put_sector(name, a, was_b);
        put_sector(name, b, was_a);
    }
    void truncate(std::string const& name, std::size_t size) {
        change(name, [&](std::string& s) { s.resize(size); });
    }

    /// Everything that a reader sees: a copy to compare with, or to go back to.
    [[nodiscard]] std::map<std::string, std::string> image() const {
        std::map<std::string, std::string> out;
        for (auto const& [name, node] : names_) out[name] = node->now;
        return out;
    }
    /// The disk holds exactly this, all of it durable: a backup that was played back.
    void restore(std::map<std::string, std::string> const& image) {
        names_.clear();
        durable_names_.clear();
        pending_.clear();
        for (auto const& [name, bytes] : image) set_content(name, bytes);
    }

    // ---- the operations, for the handles below

    [[nodiscard]] std::error_code begin(operation::kind what, std::string const& name) {
        using kind = operation::kind;
        if (dark_) throw power_loss{};
        bool const changes = what == kind::create || what >= kind::write;
        if (changes && ++changes_ == lose_power_at) {
            dark_ = true;
            throw power_loss{};
        }
        return fault ? fault({what, name, changes ? changes_ : 0}) : std::error_code{};
    }
    [[nodiscard]] std::uint64_t boots() const { return boots_; }
    [[nodiscard]] names_map const& names() const { return names_; }

    [[nodiscard]] std::shared_ptr<inode> find(std::string const& name) const {
        auto const it = names_.find(name);
        return it == names_.end() ? nullptr : it->second;
    }
    [[nodiscard]] std::shared_ptr<inode> create(std::string const& name) {
        auto node = find(name);
        if (!node) {
            node = std::make_shared<inode>();
            change_names({name, name, node});
        } else if (!node->now.empty()) {
            node->now.clear();
            node->dirty.clear();
            node->resized = true;
            node->lowest = 0;
        }
        return node;
    }
    [[nodiscard]] std::error_code rename(std::string const& from, std::string const& to) {
        auto const node = find(from);
        if (!node) return std::make_error_code(std::errc::no_such_file_or_directory);
        change_names({from, to, node});
        return {};
    }
    [[nodiscard]] std::error_code remove(std::string const& name) {
        if (!find(name)) return std::make_error_code(std::errc::no_such_file_or_directory);
        change_names({name, {}, nullptr});
        return {};
    }
    void sync_names() {
        durable_names_ = names_;
        pending_.clear();
    }

    [[nodiscard]] std::error_code write(inode& node, std::uint64_t at, std::vector<std::string_view> const& parts,
                                        std::uint64_t most) {
        for (std::string_view p : parts) {
            std::uint64_t const room = capacity - std::min(capacity, used());
            std::uint64_t const fits = node.now.size() + room - std::min<std::uint64_t>(at, node.now.size() + room);
            std::uint64_t const n = std::min({static_cast<std::uint64_t>(p.size()), fits, most});
            put(node, static_cast<std::size_t>(at), p.substr(0, static_cast<std::size_t>(n)));
            at += n;
            most -= n;
            if (n < p.size()) return std::make_error_code(std::errc::no_space_on_device);
        }
        return {};
    }
    static void sync(inode& node) {
        node.disk.resize(node.now.size());
        for (std::size_t s : node.dirty) copy_sector(node.now, node.disk, s);
        mark_clean(node);
    }
    static void mark_clean(inode& node) {
        node.dirty.clear();
        node.resized = false;
        node.lowest = node.disk.size();
    }

private:
    /// `to` names the inode from now on, and `from` does not, if it is another name. An empty `to` only removes.
    struct name_change {
        std::string from, to;
        std::shared_ptr<inode> node;
    };

    static void apply(name_change const& c, names_map& names) {
        if (c.from != c.to) names.erase(c.from);
        if (c.node) names[c.to] = c.node;
    }
    void change_names(name_change c) {
        apply(c, names_);
        pending_.push_back(std::move(c));
    }
    template <class Change>
    void change(std::string const& name, Change damage) {
        inode& node = *names_.at(name);
        sync(node);
        damage(node.now);
        node.disk = node.now;
        node.lowest = node.now.size();
    }
    [[nodiscard]] std::uint64_t used() const {
        std::uint64_t n = 0;
        for (auto const& [name, node] : names_) n += node->now.size();
        return n;
    }
    static void put(inode& node, std::size_t at, std::string_view bytes) {
        if (bytes.empty()) return;
        if (at + bytes.size() > node.now.size()) {
            node.now.resize(at + bytes.size());
            node.resized = true;
        }
        node.now.replace(at, bytes.size(), bytes);
        for (std::size_t s = at / sector; s * sector < at + bytes.size(); ++s) node.dirty.insert(s);
    }
    static void copy_sector(std::string const& from, std::string& to, std::size_t index) {
        std::size_t const at = index * sector;
        if (at >= from.size() || at >= to.size()) return;
        std::size_t const n = std::min({sector, from.size() - at, to.size() - at});
        to.replace(at, n, from, at, n);
    }
    /// Decides what a crash leaves of a file.
    static void settle(inode& node, survivors keep, random_bits const& bits) {
        auto const kept = [&] { return keep == survivors::all || (keep == survivors::random && bits() % 2 == 0); };
        bool const cut = node.lowest < node.disk.size();
        bool const size_kept = !node.resized || kept();
        if (size_kept && node.resized) {
            node.disk.resize(std::min(node.lowest, node.disk.size()));
            node.disk.resize(node.now.size());
        }
        if (size_kept || !cut)
            for (std::size_t s : node.dirty)
                if (kept()) copy_sector(node.now, node.disk, s);
        node.now = node.disk;
        mark_clean(node);
    }

    names_map names_, durable_names_;
    std::vector<name_change> pending_;
    std::uint64_t changes_ = 0;
    std::uint64_t boots_ = 0;
    bool dark_ = false;
};

/// A file of a simulated disk. After a crash the handle is as dead as the process that held it.
class faulty_file final : public storage::file {
    std::shared_ptr<simulated_disk> disk_;
    std::shared_ptr<simulated_disk::inode> node_;
    std::string name_;
    std::uint64_t boot_;

public:
    faulty_file(std::shared_ptr<simulated_disk> disk, std::shared_ptr<simulated_disk::inode> node, std::string name)
        : disk_(std::move(disk)), node_(std::move(node)), name_(std::move(name)), boot_(disk_->boots()) {}

    [[nodiscard]] std::error_code write(std::uint64_t at, std::vector<std::string_view> const& parts) override {
        if (auto failure = begin(operation::kind::write)) {
            (void)disk_->write(*node_, at, parts, disk_->short_write_bytes);
            return failure;
        }
        return disk_->write(*node_, at, parts, ~std::uint64_t{0});
    }
    [[nodiscard]] std::error_code read(std::uint64_t at, std::size_t n, std::string& out) override {
        if (auto failure = begin(operation::kind::read)) return failure;
        if (at < node_->now.size()) out.append(node_->now, static_cast<std::size_t>(at), n);
        return {};
    }
    [[nodiscard]] std::error_code sync() override {
        if (auto failure = begin(operation::kind::sync)) {
            simulated_disk::mark_clean(*node_);
            return failure;
        }
        simulated_disk::sync(*node_);
        return {};
    }
    [[nodiscard]] std::error_code size(std::uint64_t& out) override {
        if (auto failure = begin(operation::kind::size)) return failure;
        out = node_->now.size();
        return {};
    }

private:
    [[nodiscard]] std::error_code begin(operation::kind what) {
        if (boot_ != disk_->boots()) throw power_loss{};
        return disk_->begin(what, name_);
    }
};

/// One process's view of a simulated disk: every start of a node takes a new one.
class faulty_directory final : public storage::directory {
    std::shared_ptr<simulated_disk> disk_;
    std::uint64_t boot_;

public:
    explicit faulty_directory(std::shared_ptr<simulated_disk> disk) : disk_(std::move(disk)), boot_(disk_->boots()) {}

    [[nodiscard]] std::pair<std::unique_ptr<storage::file>, std::error_code> open(std::string const& name,
                                                                                  mode m) override {
        std::error_code failure = begin(m == mode::fresh ? operation::kind::create : operation::kind::open, name);
        auto node = failure ? nullptr : m == mode::fresh ? disk_->create(name) : disk_->find(name);
        if (!failure && !node) failure = std::make_error_code(std::errc::no_such_file_or_directory);
        if (failure) return {std::unique_ptr<storage::file>{}, failure};
        return {std::make_unique<faulty_file>(disk_, std::move(node), name), std::error_code{}};
    }
    [[nodiscard]] std::error_code list(std::vector<std::string>& names) override {
        names.clear();
        if (auto failure = begin(operation::kind::list, {})) return failure;
        for (auto const& [name, node] : disk_->names()) names.push_back(name);
        return {};
    }
    [[nodiscard]] std::error_code rename(std::string const& from, std::string const& to) override {
        if (auto failure = begin(operation::kind::rename, from)) return failure;
        return disk_->rename(from, to);
    }
    [[nodiscard]] std::error_code remove(std::string const& name) override {
        if (auto failure = begin(operation::kind::remove, name)) return failure;
        return disk_->remove(name);
    }
    [[nodiscard]] std::error_code sync() override {
        if (auto failure = begin(operation::kind::sync_names, {})) return failure;
        disk_->sync_names();
        return {};
    }
    [[nodiscard]] std::string where() const override { return "simulated"; }

private:
    [[nodiscard]] std::error_code begin(operation::kind what, std::string const& name) {
        if (boot_ != disk_->boots()) throw power_loss{};
        return disk_->begin(what, name);
    }
};

} // namespace storage_test
