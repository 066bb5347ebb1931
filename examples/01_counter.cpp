// The smallest group: one process, one object. Start with founders = 3 and seeds, and nothing below changes.
#include <openreplica/openreplica.hpp>

#include <iostream>

class counter { // An ordinary class: no base class, no replication code.
    int value = 0;

public:
    int add(int n) { return value += n; } // Non-const: an update, goes through the log.
    int get() const { return value; }     // Const: a linearizable read, no log entry.

    OPENREPLICA_METHODS(counter, add, get)         // which methods can be called
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(counter, value) // how to write its state (for snapshots)
};

int main() {
    openreplica::node node{{.group = "counter example"}};
    openreplica::replicated<counter> hits{node, "hits"};

    std::cout << "add(1) gives " << hits->add(1) << '\n';                   // blocks until chosen and applied
    std::future<int> later = hits.async(asio::use_future)->add(41);         // any Asio completion token
    std::cout << "add(41) gives " << later.get() << '\n';
    std::cout << "get() gives " << hits->get() << '\n';                     // sees everything that completed before
    std::cout << "this replica has " << hits.local()->get() << '\n';        // asks nobody; may lag in a larger group

    // The life of an object is part of the log too.
    hits.reset();
    std::cout << "after reset() " << hits->get() << '\n';
    hits.destroy();
    std::cout << "exists() after destroy(): " << std::boolalpha << hits.exists() << '\n';

    // What goes wrong has a code and a sentence.
    try {
        hits->add(1);
    } catch (openreplica::error const& e) {
        std::cout << "add(1) throws: " << e.what() << '\n';
        return e.code() == openreplica::errc::no_such_object ? 0 : 1;
    }
    return 1;
}
