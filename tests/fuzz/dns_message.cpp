// Any bytes, read as a DNS message and as the answer to a query: nothing crashes, and what was read survives a round
// trip.
//
// clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/dns_message.cpp -o dns_message
// ./dns_message -max_total_time=60 -max_len=4096 -timeout=1 -rss_limit_mb=256
#include <openreplica/dns/query.hpp>
#include <openreplica/dns/srv.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <stdexcept>

namespace dns = openreplica::dns;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

void check_round_trip(dns::message const& m) {
    std::string bytes;
    try {
        bytes = dns::encode(m);
    } catch (std::length_error const&) {
        return; // Names that were compressed in record data need more room than a message has.
    }
    auto const back = dns::decode(bytes);
    require(back.value.has_value());
    bool const cut = back.value->header.truncated &&
                     back.value->answers.size() + back.value->authority.size() + back.value->additional.size() == 0;
    require(cut || *back.value == m);
}

/// Makes the bytes look like the answer to a query, so that the judgement goes past its first checks.
void check_as_answer(std::string bytes) {
    std::mt19937_64 random(1);
    auto const service = *dns::name::parse("_openreplica._tcp.bank.test");
    auto const q = dns::make_query(service, dns::record_type::srv, random);
    std::size_t const question_size = q.asked.qname.wire().size() + 4;
    if (bytes.size() < 12) return;
    bytes.replace(0, 2, q.bytes, 0, 2);
    bytes[4] = 0;
    bytes[5] = 1;
    bytes.insert(12, q.bytes, 12, question_size);
    auto const verdict = dns::judge_reply(q, bytes);
    if (verdict.is != dns::reply_verdict::accepted) return;
    auto const reading = dns::read_reply(verdict.reply, service, dns::record_type::srv);
    auto const usable = dns::usable_targets(reading.records, service, false);
    auto const ordered = dns::order_targets(usable.targets, random);
    require(ordered.size() == usable.targets.size());
    for (auto const& target : ordered) require(target.port != 0 && !target.target.is_root());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    std::string const bytes(reinterpret_cast<char const*>(data), size);
    (void)dns::decode_header(bytes);
    (void)dns::decode_questions(bytes);
    if (auto const m = dns::decode(bytes)) {
        check_round_trip(*m.value);
        for (auto const& q : m.value->questions) {
            auto const again = dns::name::parse(q.qname.to_string());
            require(again && again->identical(q.qname));
        }
    }
    check_as_answer(bytes);
    return 0;
}
