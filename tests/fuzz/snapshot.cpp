// Any bytes, offered to a replica as a snapshot: either it is restored, and then saves itself as the same state again,
// or nothing of the replica changes.
//
// clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/snapshot.cpp -o snapshot
// ./snapshot -max_total_time=60 -max_len=4096 -timeout=1 -rss_limit_mb=256 tests/fuzz/corpus/snapshot
#include "../unit/object/space_driver.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    // A buffer of exactly this size, so that the address sanitizer sees a read past its end.
    std::vector<char> const exact(data, data + size);
    space_test::driver d;
    d.create("kept");
    auto const before = d.space.snapshot();
    if (!d.space.restore({exact.data(), exact.size()})) {
        require(d.space.snapshot() == before);
        return 0;
    }
    auto const text = d.space.snapshot();
    space_test::driver other;
    require(text && other.space.restore(*text) && other.space.snapshot() == text);
    require(other.space.digest() == d.space.digest() && other.space.applied() == d.space.applied());
    return 0;
}
