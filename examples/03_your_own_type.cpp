// A type with members of its own, constructor arguments, the call's context, and checked conversions.
#include <openreplica/openreplica.hpp>

#include <cstdint>
#include <iostream>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

struct item { // An argument or a result is any value that nlohmann/json converts.
    std::string name;
    std::uint16_t count = 0;
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(item, name, count)
};

class warehouse {
    std::size_t capacity_ = 0;
    std::map<std::string, std::uint32_t> stock_; // Ordered: every replica must visit it in the same order.
    std::uint64_t last_change_ = 0;

public:
    warehouse() = default;
    explicit warehouse(std::size_t capacity) : capacity_(capacity) {}

    /// A method may take the call's context first: slot, caller, time and randomness that are the same on every replica.
    std::uint32_t put(openreplica::context& call, item const& what) {
        if (!stock_.contains(what.name) && stock_.size() == capacity_) throw std::length_error("the warehouse is full");
        last_change_ = call.slot().value;
        return stock_[what.name] += what.count;
    }
    std::optional<std::uint32_t> count(std::string const& name) const {
        auto const found = stock_.find(name);
        return found == stock_.end() ? std::nullopt : std::optional(found->second);
    }
    std::vector<std::string> names() const {
        std::vector<std::string> out;
        for (auto const& [name, n] : stock_) out.push_back(name);
        return out;
    }

    OPENREPLICA_METHODS(warehouse, put, count, names)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(warehouse, capacity_, stock_, last_change_)
};

int main() {
    openreplica::node node{{.group = "warehouse example"}};
    // The constructor's arguments count when the object does not exist yet; otherwise it is taken as it is.
    openreplica::replicated<warehouse> store{node, "store", 2};

    std::cout << "bolts: " << store->put(item{"bolts", 100}) << '\n';
    std::cout << "nuts: " << store->put(item{"nuts", 50}) << '\n';
    try {
        store->put(item{"washers", 1});
    } catch (openreplica::error const& e) {
        std::cout << "washers: " << e.what() << '\n';
    }
    std::cout << "screws are " << (store->count("screws") ? "there" : "not there") << "; there are:";
    for (std::string const& name : store->names()) std::cout << ' ' << name;
    std::cout << '\n';
    return store->count("bolts") == 100u ? 0 : 1;
}
