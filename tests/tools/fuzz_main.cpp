// Runs a fuzz target without a fuzzing engine: the given corpus files, then mutations of them from a fixed seed.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

namespace {

using input = std::vector<std::uint8_t>;
using generator = std::mt19937_64;

std::size_t below(generator& g, std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(g); }
std::uint8_t any_byte(generator& g) { return static_cast<std::uint8_t>(g()); }

void mutate(input& in, generator& g) {
    for (std::size_t left = 1 + below(g, 8); left != 0; --left) {
        std::size_t const at = below(g, in.size() + 1);
        auto const place = in.begin() + static_cast<std::ptrdiff_t>(at);
        switch (below(g, 4)) {
        case 0:
            in.insert(place, any_byte(g));
            break;
        case 1:
            in.insert(place, 1 + below(g, 16), std::uint8_t{0xff});
            break;
        case 2:
            in.erase(place, in.end());
            break;
        default:
            if (at < in.size()) *place = any_byte(g);
        }
    }
}

} // namespace

int main(int argc, char** argv) {
    int seconds = 5;
    std::vector<input> corpus{{}};
    for (int i = 1; i < argc; ++i) {
        if (std::string_view(argv[i]) == "--seconds" && i + 1 < argc) {
            seconds = std::atoi(argv[++i]);
            continue;
        }
        std::ifstream file(argv[i], std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    for (input const& in : corpus) LLVMFuzzerTestOneInput(in.data(), in.size());

    generator g{20260101};
    std::uint64_t runs = 0;
    auto const end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    while (std::chrono::steady_clock::now() < end) {
        input in = corpus[below(g, corpus.size())];
        mutate(in, g);
        LLVMFuzzerTestOneInput(in.data(), in.size());
        ++runs;
        if (in.size() < 4096 && below(g, 64) == 0) corpus.push_back(in); // Some mutants become parents.
    }
    std::cout << runs << " inputs, none brought it down\n";
}
