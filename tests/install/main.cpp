// A program outside of the library's tree: a group of one, one call.
#include <openreplica/openreplica.hpp>

#include <iostream>

class counter {
    int value = 0;

public:
    int add(int n) { return value += n; }
    int get() const { return value; }

    OPENREPLICA_METHODS(counter, add, get)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(counter, value)
};

int main() {
    openreplica::node node{{.group = "install", .listen = "127.0.0.1:0", .founders = 1}};
    openreplica::replicated<counter> hits{node, "hits"};
    std::cout << "OpenReplica " << OPENREPLICA_VERSION_MAJOR << '.' << OPENREPLICA_VERSION_MINOR << '.'
              << OPENREPLICA_VERSION_PATCH << ": " << hits->add(1) << '\n';
}
