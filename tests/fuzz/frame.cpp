// Any bytes, read as everything that travels between nodes: nothing crashes, and what decodes re-encodes to the same
// bytes.
//
// The first byte chooses the reading and the rest is the body, so that an engine need not guess checksums; the whole
// input is read as a frame too.
//
// clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/frame.cpp -o frame
// ./frame -max_total_time=60 -max_len=4096 -timeout=1 -rss_limit_mb=256 tests/fuzz/corpus/frame
#include <openreplica/net/client_codec.hpp>
#include <openreplica/net/codec.hpp>
#include <openreplica/net/frame_stream.hpp>
#include <openreplica/types/envelope.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

namespace net = openreplica::net;
namespace paxos = openreplica::paxos;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

/// The frame holds this body, under this type, and a reader takes its header.
void check_frame(std::string const& frame, std::uint8_t type, std::string_view body) {
    require(std::string_view(frame).substr(net::frame_header_size) == body);
    auto const header = net::read_header(frame, body.size());
    auto const* h = std::get_if<net::frame_header>(&header);
    require(h != nullptr && h->type == type && h->length == body.size());
    require(h->body_checksum == openreplica::crc32c(body));
}

void read_message(std::uint8_t type, std::string_view body) {
    // A buffer of exactly this size, so that the address sanitizer sees a read past its end.
    auto const buffer = std::make_shared<std::string const>(body);
    auto const m = net::decode(type, buffer, 0, body.size());
    if (m) check_frame(std::visit([](auto const& kind) { return net::encode(kind); }, *m), type, body);
    auto const said = net::decode_client_request(type, buffer, 0, body.size());
    if (said) check_frame(net::encode(*said), type, body);
    auto const told = net::decode_client_reply(type, buffer, 0, body.size());
    if (told) check_frame(net::encode(*told), type, body);
    require(int{m.has_value()} + int{said.has_value()} + int{told.has_value()} <= 1); // A type is one's only.
}

void read_handshake(std::string_view body) {
    if (auto const h = net::decode_hello(body)) {
        // What a newer program adds behind what this one knows is not read.
        std::string const again = net::encode(*h);
        std::size_t const known = again.size() - net::frame_header_size;
        check_frame(again, net::hello_type, h->newest > net::protocol_max ? body.substr(0, known) : body);
        auto mine = *h;
        mine.self.id.low ^= 1;
        require(net::judge(*h, *h).reason != net::refusal::none); // A node that met itself never goes on.
        (void)net::judge(mine, *h);
    }
    if (auto const r = net::decode_hello_reply(body)) check_frame(net::encode(*r), net::hello_reply_type, body);
}

void read_values(std::string_view body) {
    if (auto const e = openreplica::decode_envelope(body)) require(openreplica::encode(*e) == body);
    openreplica::wire_reader r(body);
    auto const c = paxos::decode_configuration(r);
    if (!r.ok()) return;
    require(c.voters.size() <= paxos::max_voters);
    std::string again;
    openreplica::wire_writer w(again);
    paxos::encode(w, c);
    require(again == body.substr(0, r.offset()));
}

/// As a connection does: a header, and then the body that it promises, however the bytes are cut.
void read_stream(std::string_view bytes) {
    net::frame_stream stream;
    std::size_t const piece = bytes.size() % 61 + 1;
    while (!bytes.empty()) {
        std::size_t const n = std::min(piece, bytes.size());
        auto const [where, size] = stream.room(n);
        require(size >= n);
        std::memcpy(where, bytes.data(), n);
        stream.add(n);
        bytes.remove_prefix(n);
        for (;;) {
            auto const next = stream.next(net::max_handshake_frame);
            if (std::holds_alternative<std::string>(next)) return;
            auto const* f = std::get_if<net::frame_stream::frame>(&next);
            if (f == nullptr) break;
            read_message(f->header.type, f->text());
        }
        require(stream.keep_rest(64).size < net::max_handshake_frame + net::frame_header_size);
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    std::string const bytes(reinterpret_cast<char const*>(data), size);
    read_stream(bytes);
    if (bytes.empty()) return 0;
    auto const type = static_cast<std::uint8_t>(bytes[0]);
    std::string const body = bytes.substr(1);
    read_message(type, body);
    if (type == net::hello_type || type == net::hello_reply_type) read_handshake(body);
    if (type == 0 || type > net::hello_reply_type) read_values(body);
    return 0;
}
