// A standard container, left as it is: its methods are listed from outside, under names of your choice.
#include <openreplica/openreplica.hpp>

#include <iostream>
#include <map>
#include <string>

using dictionary = std::map<std::string, std::string>;

template <>
struct openreplica::describe<dictionary> {
    static constexpr std::string_view name = "dictionary"; // what other programs call the type
    static constexpr auto methods() {
        return method_table<
            method<"put", [](dictionary& d, std::string const& k, std::string const& v) { d[k] = v; }>,
            method<"erase", [](dictionary& d, std::string const& k) { return d.erase(k) == 1; }>,
            method<"find", [](dictionary const& d, std::string const& k) {
                auto const found = d.find(k);
                return found == d.end() ? std::string() : found->second;
            }>,
            method<"size", [](dictionary const& d) { return d.size(); }>>{};
    }
};

int main() {
    openreplica::node node{{.group = "container example"}};
    openreplica::replicated<dictionary> capitals{node, "capitals"};

    capitals.call<"put">("France", "Paris");
    capitals.call<"put">("Norway", "Oslo");
    std::future<void> later = capitals.async_call<"put">("Peru", "Lima", asio::use_future);
    later.get();
    std::cout << "Norway: " << capitals.call<"find">("Norway") << '\n';
    std::cout << "erased France: " << std::boolalpha << capitals.call<"erase">("France") << '\n';
    std::cout << "left: " << capitals.call<"size">() << ", here: " << capitals.local_call<"size">() << '\n';
    return capitals.call<"size">() == 2 ? 0 : 1;
}
