// The time to place replicas in a large data centre, by failure groups.
//
//   placement                  80,000 hosts, the median of eleven runs for each number of replicas
//   placement --seconds 0.1    a smoke test with 8,000
//
// Every host has a rack, a PDU, a cooling unit, a feed and a room. Each line is a JSON object; no figure is checked.
#include "measure.hpp"

#include <openreplica/types/placement.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

using hosts = std::vector<std::vector<std::string>>;

/// Racks of 40, eight racks on a PDU, 50 racks on a cooling unit; feeds and rooms are few and shared by many, so that no
/// host shares nothing after the first choices.
hosts data_centre(std::size_t size) {
    hosts all;
    for (std::size_t h = 0; h < size; ++h) {
        auto const group = [h](char const* kind, std::size_t of) { return kind + std::to_string(h / of); };
        all.push_back({group("rack:", 40), group("pdu:", 320), group("cooling:", 2000),
                       "feed:" + std::to_string(h % 2), group("room:", 20'000)});
    }
    return all;
}

/// The hardest case: all share the room, so that every choice changes every host's rank; and each has a group of its own.
hosts one_room(std::size_t size) {
    hosts all = data_centre(size);
    for (std::size_t h = 0; h < size; ++h) all[h].back() = "room:0", all[h].push_back("host:" + std::to_string(h));
    return all;
}

void measure(char const* name, hosts const& all, std::size_t replicas, int runs) {
    std::vector<double> took_ms;
    std::vector<std::size_t> chosen;
    for (int i = 0; i < runs; ++i) {
        double const begun = benchmark::now_us();
        chosen = openreplica::place(all, replicas);
        took_ms.push_back((benchmark::now_us() - begun) / 1000);
    }
    auto const overlap = openreplica::measure_overlap(all, chosen);
    double const worst_ms = *std::max_element(took_ms.begin(), took_ms.end());
    std::printf("{\"op\":\"%s\",\"hosts\":%zu,\"replicas\":%zu,\"p50_ms\":%.2f,\"max_ms\":%.2f,\"runs\":%d,"
                "\"expected_failures\":%.3f,\"worst\":%zu}\n",
                name, all.size(), replicas, benchmark::percentile(took_ms, 0.5), worst_ms, runs, overlap.expected,
                overlap.worst);
}

} // namespace

int main(int argc, char** argv) {
    double seconds = 10;
    for (int i = 1; i + 1 < argc; i += 2)
        if (std::string(argv[i]) == "--seconds") seconds = std::atof(argv[i + 1]);
    bool const smoke = seconds < 1;
    std::size_t const size = smoke ? 8'000 : 80'000;
    for (std::size_t replicas : {3u, 5u, 31u, 1000u}) {
        measure("place", data_centre(size), replicas, smoke ? 1 : 11);
        measure("place_one_room", one_room(size), replicas, smoke ? 1 : 11);
    }
}
