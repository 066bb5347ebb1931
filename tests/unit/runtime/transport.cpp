// Which addresses are dialled, and which have answered.
#include <openreplica/runtime/transport.hpp>

#include <doctest/doctest.h>

#include <asio/io_context.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

using namespace openreplica;
using namespace std::chrono_literals;

namespace transport_test {

/// A transport of its own group and id.
struct party {
    node_options options;
    node_id id;
    int met_self = 0;
    int heard = 0; ///< founding messages
    std::shared_ptr<runtime::transport> links;

    party(asio::io_context& io, std::string group, std::uint64_t number) : id{0, number} {
        options.group = std::move(group);
        links = std::make_shared<runtime::transport>(
            io.get_executor(), options,
            runtime::transport::events{.message = [](node_id, paxos::message&&) {},
                                       .founding = [this](auto const&, auto const&) { ++heard; },
                                       .batch_end = [] {},
                                       .up = [](node_id) {},
                                       .down = [](node_id) {},
                                       .met_self = [this] { ++met_self; },
                                       .forgotten = [](node_id) {},
                                       .log = [](log_level, std::string const&) {}});
        links->set_identity(id, {}, links->local_endpoint());
        links->start();
    }
    ~party() { links->stop(); }
    [[nodiscard]] openreplica::endpoint where() const { return links->local_endpoint(); }
    void seek() { links->send(std::nullopt, paxos::founding_message(paxos::discover{{id, where()}, 1, {}, {}})); }
};

/// Somebody who takes connections and ends them at once: nobody of ours.
struct hang_up {
    asio::ip::tcp::acceptor acceptor;
    int dials = 0;

    explicit hang_up(asio::io_context& io) : acceptor(io, {asio::ip::address_v4::loopback(), 0}) { next(); }
    void next() {
        acceptor.async_accept([this](asio::error_code e, asio::ip::tcp::socket) {
            if (e) return;
            ++dials;
            next();
        });
    }
    [[nodiscard]] openreplica::endpoint where() const { return {"127.0.0.1", acceptor.local_endpoint().port()}; }
};

bool until(asio::io_context& io, std::function<bool()> const& done) {
    auto const end = std::chrono::steady_clock::now() + 10s;
    io.restart();
    while (!done() && std::chrono::steady_clock::now() < end) io.run_one_for(10ms);
    return done();
}

using endpoints = std::vector<openreplica::endpoint>;

TEST_CASE("a seed is silent until somebody there says that it seeks a group, or that it belongs to another one") {
    asio::io_context io;
    party a(io, "test", 1), b(io, "test", 2), stranger(io, "another", 3);
    hang_up nobody(io);
    CHECK(a.links->silent_seeds().empty());
    a.links->connect_seed(a.where());
    CHECK(a.met_self == 1);
    CHECK(a.links->silent_seeds().empty());
    for (auto const& at : {b.where(), stranger.where(), nobody.where()}) a.links->connect_seed(at);
    CHECK(a.links->silent_seeds().size() == 3);
    CHECK(until(io, [&] { return a.links->silent_seeds().size() == 2 && nobody.dials > 1; }));
    REQUIRE(until(io, [&] { return !a.links->connected().empty() && !b.links->connected().empty(); }));
    CHECK(a.links->silent_seeds().size() == 2); // To be connected is no answer yet.
    b.seek();
    CHECK(until(io, [&] { return a.heard == 1; }));
    CHECK(a.links->silent_seeds() == endpoints{nobody.where()});
    b.links->stop();
    CHECK(until(io, [&] { return a.links->silent_seeds().size() == 2; }));
}

TEST_CASE("an address that no seed names any more is dialled no longer, unless a voter is there or somebody answers") {
    asio::io_context io;
    party a(io, "test", 1), b(io, "test", 2);
    hang_up gone(io), voter(io);
    for (auto const& at : {b.where(), gone.where(), voter.where()}) a.links->connect_seed(at);
    a.links->connect_member({node_id{0, 9}, voter.where()});
    REQUIRE(until(io, [&] { return gone.dials > 1 && voter.dials > 1 && !a.links->connected().empty(); }));
    for (auto const& at : {b.where(), gone.where(), voter.where()}) a.links->drop_seed(at);
    CHECK(a.links->silent_seeds().empty());
    CHECK(a.links->connected() == std::vector{node_id{0, 2}});
    // A dial that is under way may still arrive; then the voter's address goes on and the other does not.
    int const last = gone.dials + 1, before = voter.dials;
    CHECK(until(io, [&] { return voter.dials > before + 2; }));
    CHECK(gone.dials <= last);
    CHECK(a.links->connected() == std::vector{node_id{0, 2}});
}

} // namespace transport_test
