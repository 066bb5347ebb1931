// A directory within a directory: the files whose names carry a suffix, seen without it.
#pragma once

#include <openreplica/storage/files.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace openreplica::inline v0::storage {

/// Lets whatever writes a directory write another one beside the files that are there: not one of them is seen or touched,
/// as long as none carries the suffix. Renaming the files makes it the real one.
///
/// @par Thread safety
/// As the directory below.
class suffixed_directory final : public directory {
    directory& below_;
    std::string suffix_;

    [[nodiscard]] std::string name_of(std::string const& name) const { return name + suffix_; }

public:
    /// @param below outlives this object
    suffixed_directory(directory& below, std::string_view suffix) : below_(below), suffix_(suffix) {}

    [[nodiscard]] std::pair<std::unique_ptr<file>, std::error_code> open(std::string const& name, mode m) override {
        return below_.open(name_of(name), m);
    }
    [[nodiscard]] std::error_code list(std::vector<std::string>& names) override {
        std::vector<std::string> all;
        std::error_code const failure = below_.list(all);
        names.clear();
        for (std::string const& n : all)
            if (n.ends_with(suffix_)) names.push_back(n.substr(0, n.size() - suffix_.size()));
        return failure;
    }
    [[nodiscard]] std::error_code rename(std::string const& from, std::string const& to) override {
        return below_.rename(name_of(from), name_of(to));
    }
    [[nodiscard]] std::error_code remove(std::string const& name) override { return below_.remove(name_of(name)); }
    [[nodiscard]] std::error_code sync() override { return below_.sync(); }
    [[nodiscard]] std::string where() const override { return below_.where(); }
};

} // namespace openreplica::inline v0::storage
