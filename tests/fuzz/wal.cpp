// Any bytes, read as the files of a data directory: nothing crashes, and what was read survives a round trip.
//
// The first byte chooses the reading and the rest is the file. Because no engine guesses checksums, some readings put the
// right ones over the bytes first.
//
// clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/wal.cpp -o wal
// ./wal -max_total_time=60 -max_len=4096 -timeout=1 -rss_limit_mb=256
#include <openreplica/storage/identity.hpp>
#include <openreplica/storage/snapshot_file.hpp>
#include <openreplica/storage/wal_reader.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace storage = openreplica::storage;

namespace {

constexpr openreplica::node_id owner{1, 2};

void require(bool holds) {
    if (!holds) std::abort();
}

/// A directory with one segment.
class one_segment final : public storage::directory {
    class segment final : public storage::file {
        std::string const& bytes_;

    public:
        explicit segment(std::string const& bytes) : bytes_(bytes) {}
        std::error_code write(std::uint64_t, std::vector<std::string_view> const&) override { std::abort(); }
        std::error_code read(std::uint64_t at, std::size_t n, std::string& out) override {
            out.append(bytes_, static_cast<std::size_t>(at), n);
            return {};
        }
        std::error_code sync() override { std::abort(); }
        std::error_code size(std::uint64_t& out) override {
            out = bytes_.size();
            return {};
        }
    };
    std::string bytes_;

public:
    explicit one_segment(std::string bytes) : bytes_(std::move(bytes)) {}
    std::pair<std::unique_ptr<storage::file>, std::error_code> open(std::string const&, mode) override {
        return {std::make_unique<segment>(bytes_), std::error_code{}};
    }
    std::error_code list(std::vector<std::string>& names) override {
        names = {storage::segment_name(1)};
        return {};
    }
    std::error_code rename(std::string const&, std::string const&) override { std::abort(); }
    std::error_code remove(std::string const&) override { std::abort(); }
    std::error_code sync() override { std::abort(); }
    std::string where() const override { return "bytes"; }
};

void read_segment(std::string bytes) {
    std::size_t const size = bytes.size();
    std::uint64_t records = 0;
    storage::record_visitor const count = [&](storage::record_header const&, storage::wal_record&& r) {
        ++records;
        if (auto const* a = std::get_if<openreplica::paxos::accept_record>(&r)) require(a->what.what.body.size() < size);
    };
    one_segment dir(std::move(bytes));
    auto const s = storage::wal_reader(dir, owner, {}, count).scan();
    require(s.records == records && !s.failure);
    require(s.tail.offset <= size + 8 && s.last_bytes.size() <= size);
    if (s.damage) require(!s.damage->text().empty());
}

/// Frames of records around pieces of the input, with good checksums and often a good position.
std::string framed(std::string_view in) {
    std::string out = storage::encode(storage::segment_header{owner, 1});
    openreplica::lsn at{1};
    std::uint64_t chain = 0;
    std::string first;
    storage::encode_payload(storage::checkpoint{}, first);
    std::string payload = first;
    for (char type = 'S';;) {
        storage::record_header const h{static_cast<std::uint32_t>(payload.size()), type, at, chain, {},
                                       openreplica::crc32c(payload)};
        std::string head;
        storage::encode(h, head);
        out += head + payload;
        out.append(h.span() - storage::record_header_size - payload.size(), '\0');
        if (in.size() < 3) return out.append(in);
        type = storage::wal_record_types[static_cast<unsigned char>(in[0]) % storage::wal_record_types.size()];
        std::size_t const size = std::min<std::size_t>(static_cast<unsigned char>(in[1]), in.size() - 2);
        payload = std::string(in.substr(2, size)) + storage::payload_end;
        in.remove_prefix(2 + size);
        at = at.next();
        chain = storage::chain_after(head);
    }
}

void read_payload(std::string_view in) {
    if (in.empty()) return;
    char const type = storage::wal_record_types[static_cast<unsigned char>(in[0]) % storage::wal_record_types.size()];
    in.remove_prefix(1);
    // A buffer of exactly this size, so that the address sanitizer sees a read past its end.
    auto const r = storage::decode_payload(type, std::make_shared<std::string const>(in), 0, in.size());
    if (!r) return;
    std::string back;
    std::visit([&](auto const& record) { storage::encode_payload(record, back); }, *r);
    require(back == in);
}

void read_snapshot(std::string const& bytes) {
    auto const s = storage::decode_snapshot(owner, bytes);
    if (s) require(bytes.starts_with(storage::detail::encode_snapshot_header(owner, *s)));
}

/// A snapshot's header with a good checksum over the input, and what follows of it as chunks.
void read_framed_snapshot(std::string_view in) {
    std::size_t const body = in.empty() ? 0 : std::min<std::size_t>(static_cast<unsigned char>(in[0]), in.size() - 1);
    std::string out(storage::snapshot_magic);
    openreplica::wire_writer w(out);
    w.put_string(in.empty() ? in : in.substr(1, body));
    w.put(openreplica::crc32c(out));
    if (!in.empty()) out += in.substr(1 + body);
    read_snapshot(out);
}

void read_blocks(std::string const& bytes) {
    if (auto const i = storage::decode_identity(bytes)) require(storage::decode_identity(storage::encode(*i)) == i);
    if (auto const m = storage::decode_meta(bytes, owner)) require(storage::decode_meta(storage::encode(*m), owner) == m);
    std::string const id = storage::sealed::seal(storage::identity_magic, bytes.substr(0, 400));
    if (auto const i = storage::decode_identity(id + id)) require(storage::encode(*i) == id + id);
    std::string const meta = storage::sealed::seal(storage::meta_magic, bytes.substr(0, 400));
    if (auto const m = storage::decode_meta(meta, owner)) require(storage::encode(*m) == meta);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    if (size == 0) return 0;
    std::string const bytes(reinterpret_cast<char const*>(data + 1), size - 1);
    switch (data[0] % 7) {
    case 0: read_segment(bytes); break;
    case 1: read_segment(storage::encode(storage::segment_header{owner, 1}) + bytes); break;
    case 2: read_segment(framed(bytes)); break;
    case 3: read_payload(bytes); break;
    case 4: read_snapshot(bytes); break;
    case 5: read_framed_snapshot(bytes); break;
    default: read_blocks(bytes);
    }
    return 0;
}
