// Calls in coroutines, on the program's own io_context: a node needs no thread that you do not give it for its handlers.
#include <openreplica/openreplica.hpp>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/use_awaitable.hpp>

#include <iostream>

class account {
    long balance = 0;

public:
    void deposit(long n) { balance += n; }
    long withdraw(long n) {
        if (n > balance) throw std::runtime_error("the account holds only " + std::to_string(balance));
        return balance -= n;
    }
    long read() const { return balance; }

    OPENREPLICA_METHODS(account, deposit, withdraw, read)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(account, balance)
};

asio::awaitable<void> spend(openreplica::replicated<account> savings, openreplica::node& node) {
    constexpr auto& token = asio::use_awaitable;
    co_await savings.async(token)->deposit(100);
    std::cout << "left after 30: " << co_await savings.async(token)->withdraw(30) << '\n';
    try {
        co_await savings.async(token)->withdraw(1000);
    } catch (openreplica::error const& e) {
        // What a method throws is an outcome like any other: every replica had the same one, and none was disturbed.
        std::cout << "refused: " << e.what() << '\n';
    }
    std::cout << "balance: " << co_await savings.async(token)->read() << '\n';
    node.stop(); // The last work of this io_context: run() returns.
}

int main() {
    asio::io_context context;
    openreplica::node node{context, {.group = "coroutine example"}};
    openreplica::replicated<account> savings{node, "savings"};

    bool failed = false;
    asio::co_spawn(context, spend(savings, node), [&](std::exception_ptr e) { failed = e != nullptr; });
    context.run();
    return failed ? 1 : 0;
}
