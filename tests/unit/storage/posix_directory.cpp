#include <openreplica/storage/posix_directory.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace posix_directory_test {

namespace storage = openreplica::storage;
using storage::directory;
using storage::posix_directory;

struct folder {
    std::string path = "/tmp/openreplica-posix-XXXXXX";
    folder() {
        if (::mkdtemp(path.data()) == nullptr) throw std::runtime_error("no temporary folder");
    }
    ~folder() { std::filesystem::remove_all(path); }
    folder(folder const&) = delete;
    folder& operator=(folder const&) = delete;
};

std::string read(directory& dir, std::string const& name) {
    std::string s;
    CHECK_FALSE(storage::read_all(dir, name, s));
    return s;
}

TEST_CASE("a directory is made when it is missing, and its own lock is not one of its files") {
    folder f;
    posix_directory dir(f.path + "/new");
    std::vector<std::string> names{"stale"};
    CHECK_FALSE(dir.list(names));
    CHECK(names.empty());
    CHECK_FALSE(storage::write_all(dir, "b", {"2"}));
    CHECK_FALSE(storage::write_all(dir, "a", {"1"}));
    CHECK_FALSE(dir.list(names));
    CHECK(names == std::vector<std::string>{"a", "b"});
    CHECK_FALSE(dir.rename("a", "b"));
    CHECK(read(dir, "b") == "1");
    CHECK_FALSE(dir.remove("b"));
    CHECK(dir.remove("b") == std::errc::no_such_file_or_directory);
    CHECK(dir.where() == f.path + "/new");
}

TEST_CASE("more parts than one system call takes are written, empty ones too, and read up to the end only") {
    folder f;
    posix_directory dir(f.path);
    std::vector<std::string> pieces;
    std::string all;
    for (int i = 0; i < 5000; ++i) {
        pieces.push_back(i % 7 == 0 ? "" : std::to_string(i));
        all += pieces.back();
    }
    auto [file, failure] = dir.open("a", directory::mode::fresh);
    REQUIRE_FALSE(failure);
    CHECK_FALSE(file->write(10, {pieces.begin(), pieces.end()}));
    CHECK_FALSE(file->sync());
    std::uint64_t size = 0;
    CHECK_FALSE(file->size(size));
    CHECK(size == all.size() + 10);
    std::string s = "before";
    CHECK_FALSE(file->read(10, all.size() + 100, s));
    CHECK(s == "before" + all);
    CHECK_FALSE(file->read(size + 5, 10, s));
    CHECK(s.size() == all.size() + 6);
}

TEST_CASE("opening a fresh file empties it, an existing one must exist, and one in a directory for reading is not written") {
    folder f;
    {
        posix_directory dir(f.path);
        CHECK_FALSE(storage::write_all(dir, "a", {"content"}));
        CHECK_FALSE(dir.open("a", directory::mode::fresh).second);
        CHECK(read(dir, "a").empty());
        CHECK(dir.open("b", directory::mode::existing).second == std::errc::no_such_file_or_directory);
    }
    posix_directory dir(f.path, posix_directory::access::read_only);
    auto [file, failure] = dir.open("a", directory::mode::existing);
    REQUIRE_FALSE(failure);
    CHECK(file->write(0, {"x"}));
}

TEST_CASE("a path that cannot be used is refused with a sentence that names it") {
    folder f;
    std::string const path = f.path + "/missing/deep";
    try {
        posix_directory const dir(path);
        FAIL("no error");
    } catch (openreplica::error const& e) {
        CHECK(std::string_view(e.what()).find(path) != std::string_view::npos);
        CHECK(std::string_view(e.what()).find("check that the path exists") != std::string_view::npos);
    }
}

} // namespace posix_directory_test
