// Any bytes, read as JSON and as the bodies of commands: nothing crashes, what was read survives a round trip, and two
// replicas that apply the same bytes stay equal.
//
// The first byte chooses the kind of the command and the rest is its body; the rest is read as JSON too.
//
// clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/json.cpp -o json
// ./json -max_total_time=60 -max_len=4096 -timeout=1 -rss_limit_mb=256 tests/fuzz/corpus/json
#include <openreplica/object/macros.hpp>
#include <openreplica/object/object_space.hpp>
#include <openreplica/types/json_codec.hpp>
#include <openreplica/types/json_tree.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using namespace openreplica;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

class board {
    std::map<std::string, std::vector<double>> marks_;
    bool open_ = false;

public:
    board() = default;
    explicit board(std::int8_t marks) { marks_["first"].assign(static_cast<std::uint8_t>(marks) % 4, 0.5); }
    std::size_t put(std::string const& key, std::vector<double> values) {
        marks_[key] = std::move(values);
        return marks_.size();
    }
    void set(std::optional<bool> open, std::uint8_t) { open_ = open.value_or(false); }
    std::map<std::string, std::vector<double>> all() const { return marks_; }
    OPENREPLICA_METHODS(board, put, set, all)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(board, marks_, open_)
};

struct replica {
    object::type_registry registry;
    object::object_space space{registry};
    session_id session;

    replica() {
        registry.add<board, std::int8_t>();
        envelope opening;
        opening.kind = command_kind::open_session;
        opening.body = "[]";
        session = space.apply(slot{1}, log_time{0}, opening)->session;
        (void)apply(slot{2}, command_kind::create, R"(["b","board"])");
    }
    call_outcome apply(slot at, command_kind kind, std::string_view body) {
        envelope e;
        e.kind = kind;
        e.object = object::object_id_of("b");
        e.session = session;
        e.seq = sequence{at.value};
        e.acked_below = sequence{1};
        e.body = body;
        (void)space.check(e);
        auto const done = space.apply(at, log_time{at.value}, e);
        return done ? done->outcome : call_outcome{};
    }
};

void read_as_tree(std::string_view text) {
    std::string spelled;
    bool canonical = false;
    try {
        json_reader r(text);
        auto const tree = read_json_tree(r);
        r.expect_end();
        canonical = r.canonical();
        write_json_tree(spelled, tree);
    } catch (json_error const&) {
        return;
    }
    if (canonical) require(spelled == text);
    std::string again;
    json_reader r(spelled);
    write_json_tree(again, read_json_tree(r));
    require(r.canonical() && again == spelled);
}

template <class T>
void read_as(std::string_view text) {
    try {
        T const value = from_json_text<T>(text);
        std::string spelled;
        codec<T>::write(spelled, value);
        require(from_json_text<T>(spelled) == value);
    } catch (json_error const&) {
    }
}

void apply_twice(std::uint8_t kind, std::string_view body) {
    replica a, b;
    for (std::uint64_t at = 3; at < 5; ++at) {
        auto const here = a.apply(slot{at}, static_cast<command_kind>(kind), body);
        require(b.apply(slot{at}, static_cast<command_kind>(kind), body) == here);
    }
    require(a.space.digest() == b.space.digest());
    auto const text = a.space.snapshot();
    require(text && b.space.restore(*text) && b.space.snapshot() == text);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    if (size == 0) return 0;
    // A buffer of exactly this size, so that the address sanitizer sees a read past its end.
    std::vector<char> const exact(data + 1, data + size);
    std::string_view const rest(exact.data(), exact.size());
    read_as_tree(rest);
    read_as<std::map<std::string, std::vector<std::optional<std::int16_t>>>>(rest);
    read_as<std::vector<double>>(rest);
    read_as<bytes>(rest);
    apply_twice(static_cast<std::uint8_t>(data[0] % 16 < 10 ? data[0] % 16 : 1), rest);
    return 0;
}
