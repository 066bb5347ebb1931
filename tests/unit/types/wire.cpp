#include <openreplica/types/wire.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <tuple>

namespace wire_test {

using namespace openreplica;
using namespace std::string_view_literals;

template <class T>
std::string written(T const& v) {
    std::string out;
    wire_writer(out).put(v);
    return out;
}

template <class T>
T read_back(T v) {
    std::string const bytes = written(v);
    wire_reader r(bytes);
    T const back = r.get<T>();
    CHECK(r.complete());
    return back;
}

/// Writes one of everything, 73 bytes.
std::string one_of_everything() {
    std::string out;
    wire_writer w(out);
    w.put(std::uint8_t{0x12});
    w.put(std::uint16_t{0x3456});
    w.put(std::uint32_t{0x789a'bcde});
    w.put(slot{0x0123'4567'89ab'cdef});
    w.put(node_id{1, 2});
    w.put(ballot{3, 4, {5, 6}});
    w.put(true);
    w.put_string("name");
    w.put_raw("end");
    CHECK(w.size() == out.size());
    return out;
}

/// What `one_of_everything` wrote, as far as the reader gives it.
auto read_everything(wire_reader& r) {
    auto const a = r.get<std::uint8_t>();
    auto const b = r.get<std::uint16_t>();
    auto const c = r.get<std::uint32_t>();
    auto const d = r.get<slot>();
    auto const e = r.get<node_id>();
    auto const f = r.get_ballot();
    auto const g = r.get_bool();
    auto const h = r.get_string();
    auto const i = r.get_raw(3);
    return std::tuple(a, b, c, d, e, f, g, h, i);
}

TEST_CASE("integers are written with the lowest byte first and without padding") {
    CHECK(written(std::uint8_t{0xfe}) == "\xfe"sv);
    CHECK(written(std::uint16_t{0x0102}) == "\x02\x01"sv);
    CHECK(written(std::uint32_t{0x0102'0304}) == "\x04\x03\x02\x01"sv);
    CHECK(written(std::uint64_t{0x0102'0304'0506'0708}) == "\x08\x07\x06\x05\x04\x03\x02\x01"sv);
    CHECK(written(epoch{0x0102'0304}) == "\x04\x03\x02\x01"sv);
    CHECK(written(true) == "\x01"sv);
    CHECK(written(false) == "\0"sv);
}

TEST_CASE("an id is written high half first and a ballot as round, priority and owner") {
    CHECK(written(node_id{1, 2}) == "\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0"sv);
    CHECK(written(ballot{3, 4, {5, 6}}) == "\3\0\0\0\0\0\0\0\4\0\0\0\5\0\0\0\0\0\0\0\6\0\0\0\0\0\0\0"sv);
}

TEST_CASE("the smallest and the largest of every type come back as they went") {
    CHECK(read_back(std::numeric_limits<std::uint8_t>::max()) == 0xff);
    CHECK(read_back(std::numeric_limits<std::uint16_t>::max()) == 0xffff);
    CHECK(read_back(std::numeric_limits<std::uint32_t>::max()) == 0xffff'ffff);
    CHECK(read_back(std::numeric_limits<std::uint64_t>::max()) == ~std::uint64_t{0});
    CHECK(read_back(std::uint64_t{0}) == 0);
    CHECK(read_back(slot{~std::uint64_t{0}}) == slot{~std::uint64_t{0}});
    CHECK(read_back(epoch{0xffff'ffff}) == epoch{0xffff'ffff});
    CHECK(read_back(node_id{~std::uint64_t{0}, 1}) == node_id{~std::uint64_t{0}, 1});
    CHECK(read_back(cluster_id{}) == cluster_id{});
}

TEST_CASE("what was written in order is read in order, to the last byte") {
    std::string const bytes = one_of_everything();
    wire_reader r(bytes);
    CHECK(read_everything(r) == std::tuple(std::uint8_t{0x12}, std::uint16_t{0x3456}, std::uint32_t{0x789a'bcde},
                                           slot{0x0123'4567'89ab'cdef}, node_id{1, 2}, ballot{3, 4, {5, 6}}, true,
                                           "name"sv, "end"sv));
    CHECK(r.complete());
    CHECK(r.offset() == bytes.size());
    CHECK(r.remaining() == 0);
}

TEST_CASE("bytes cut anywhere are never read past their end and never complete") {
    std::string const whole = one_of_everything();
    for (std::size_t size = 0; size < whole.size(); ++size) {
        // A fresh buffer of exactly this size, so that the address sanitizer sees a read of one byte too many.
        std::string const cut(whole.data(), size);
        wire_reader r(cut);
        (void)read_everything(r);
        CHECK(!r.ok());
        CHECK(!r.complete());
        CHECK(r.offset() <= size);
    }
}

TEST_CASE("after the first read that does not fit every further one gives zero") {
    wire_reader r("\x01\x02\x03"sv);
    CHECK(r.get<std::uint32_t>() == 0);
    CHECK(!r.ok());
    // Three bytes are still there, but the caller has lost its place among them.
    CHECK(r.remaining() == 3);
    CHECK(r.get<std::uint8_t>() == 0);
    CHECK(r.get_raw(1).empty());
    CHECK(r.get_string().empty());
    CHECK(r.get_ballot() == ballot{});
    CHECK(!r.get_bool());
}

TEST_CASE("trailing bytes make a message incomplete, though every read of it fitted") {
    wire_reader r("\x01\x02"sv);
    CHECK(r.get<std::uint8_t>() == 1);
    CHECK(r.ok());
    CHECK(!r.complete());
    CHECK(r.get<std::uint8_t>() == 2);
    CHECK(r.complete());
}

TEST_CASE("a truth value is one of two bytes, so that there is one way to write it") {
    for (unsigned v = 0; v < 256; ++v) {
        std::string const bytes(1, static_cast<char>(v));
        wire_reader r(bytes);
        CHECK(r.get_bool() == (v == 1));
        CHECK(r.ok() == (v <= 1));
    }
}

TEST_CASE("a string's length is believed up to the last byte there is, and not one further") {
    CHECK(written(std::uint32_t{3}) + "abc" == [] {
        std::string out;
        wire_writer(out).put_string("abc");
        return out;
    }());
    wire_reader exact("\3\0\0\0abc"sv);
    CHECK(exact.get_string() == "abc");
    CHECK(exact.complete());
    wire_reader past("\4\0\0\0abc"sv);
    CHECK(past.get_string().empty());
    CHECK(!past.ok());
    wire_reader absurd("\xff\xff\xff\xff"
                       "abc"sv);
    CHECK(absurd.get_string().empty());
    CHECK(!absurd.ok());
    wire_reader empty("\0\0\0\0"sv);
    CHECK(empty.get_string().empty());
    CHECK(empty.complete());
}

TEST_CASE("a size near the end of its range does not wrap around") {
    wire_reader r("abcd"sv);
    CHECK(r.get<std::uint8_t>() == 'a');
    CHECK(r.get_raw(std::numeric_limits<std::size_t>::max()).empty());
    CHECK(!r.ok());
}

TEST_CASE("a caller can refuse what it read for a reason of its own") {
    wire_reader r("\x01"sv);
    CHECK(r.get<std::uint8_t>() == 1);
    CHECK(r.complete());
    r.fail();
    CHECK(!r.ok());
    CHECK(!r.complete());
}

} // namespace wire_test
