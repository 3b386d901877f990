// SPDX-License-Identifier: Apache-2.0
#include "attribute/resolve.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <iterator>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "attribute/catalogue.hpp"
#include "base/fd.hpp"

namespace upstat::attribute {

namespace {

bool is_localhost(const std::string& host) {
    return host == "localhost";
}

std::expected<std::set<std::string>, std::string> ask_system(const std::string& name) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int failed = getaddrinfo(name.c_str(), nullptr, &hints, &found); failed != 0) {
        return std::unexpected(std::string(gai_strerror(failed)));
    }
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
    std::set<std::string> addresses;
    for (const auto* one = found; one != nullptr; one = one->ai_next) {
        std::array<char, NI_MAXHOST> text{};
        if (getnameinfo(one->ai_addr, one->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) == 0) {
            addresses.insert(std::string(text.data()).substr(0, std::strcspn(text.data(), "%")));
        }
    }
    return addresses;
}

/// Moves the calling thread, and no other, into a network namespace.
std::expected<void, std::string> enter(const std::string& network_namespace) {
    const Fd target(open(network_namespace.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat wanted{};
    struct stat present{};
    if (!target || fstat(target.get(), &wanted) != 0) {
        return std::unexpected(fmt::format("cannot open {}: {}", network_namespace, std::strerror(errno)));
    }
    if (stat("/proc/thread-self/ns/net", &present) == 0 && present.st_ino == wanted.st_ino &&
        present.st_dev == wanted.st_dev) {
        return {};  // no privilege needed where there is nothing to do
    }
    if (setns(target.get(), CLONE_NEWNET) != 0) {
        return std::unexpected(fmt::format("cannot enter {}: {}", network_namespace, std::strerror(errno)));
    }
    return {};
}

}  // namespace

std::set<HostName> names_of(const Catalogue& catalogue, const std::string& network_namespace) {
    std::set<HostName> names;
    const auto add = [&](const std::vector<Listed>& all) {
        for (const auto& listed : all) {
            const auto endpoint = any_endpoint_of(listed.url);
            if (endpoint && !poll::parse_server(*endpoint) && !is_localhost(endpoint->host)) {
                names.insert({.network_namespace = network_namespace, .host = endpoint->host});
            }
        }
    };
    for (const auto& [name, backend] : catalogue.backends) {
        add(backend.listed);
    }
    add(catalogue.streams);
    return names;
}

void fill(Catalogue& catalogue, const std::string& network_namespace, const Addresses& addresses) {
    const std::set<std::string> loopback{"127.0.0.1", "::1"};
    const auto addresses_of = [&](const std::string& host) -> const std::set<std::string>* {
        const auto found = addresses.find({.network_namespace = network_namespace, .host = host});
        return is_localhost(host) ? &loopback : found == addresses.end() ? nullptr : &found->second;
    };
    const auto fill_all = [&](std::vector<Listed>& all) {
        for (auto& listed : all) {
            const auto endpoint = any_endpoint_of(listed.url);
            const auto* const known =
                endpoint && !poll::parse_server(*endpoint) ? addresses_of(endpoint->host) : nullptr;
            if (known == nullptr) {
                continue;
            }
            listed.servers = listed_at(listed.url).servers;
            for (const auto& address : *known) {
                if (const auto server = poll::parse_server(address, endpoint->port)) {
                    listed.servers.insert(*server);
                }
            }
        }
    };
    for (auto& [name, backend] : catalogue.backends) {
        fill_all(backend.listed);
    }
    fill_all(catalogue.streams);
}

/// Owned by the Resolver and by its worker, so that the worker may outlive the Resolver inside a look-up.
struct Resolver::Shared {
    Shared(Millis every, LookUp with) : period(every), look_up(with ? std::move(with) : LookUp(ask_system)) {}

    const Millis period;
    const LookUp look_up;

    std::mutex mutex;
    std::condition_variable_any wake;
    std::optional<std::set<HostName>> job;  ///< what the worker is to look up next
    bool busy = false;                      ///< it is doing something
    std::set<HostName> names;               ///< asked for now
    std::set<HostName> tried;               ///< of these, looked up or about to be
    Time round;                             ///< when all names were last looked up
    Known known;

    void keep(const HostName& name, std::expected<std::set<std::string>, std::string> answer) {
        const std::lock_guard lock(mutex);
        ++(answer ? known.succeeded : known.failed);
        if (!names.contains(name)) {
            return;  // it has left the catalogue meanwhile
        }
        if (answer) {
            known.failures.erase(name);
            known.addresses[name].merge(*answer);
        } else {
            known.failures[name] = std::move(answer.error());
        }
    }

    /// The names of one network stand together.
    void run(const std::set<HostName>& task) {
        const auto own = std::string("/proc/self/ns/net");  // the process's, whichever the worker is in
        std::optional<std::string> network;
        std::expected<void, std::string> entered;
        for (const auto& name : task) {
            if (network != name.network_namespace) {
                network = name.network_namespace;
                entered = enter(network->empty() ? own : *network);
            }
            keep(name, entered ? look_up(name.host) : std::unexpected(entered.error()));
        }
    }

    void work(const std::stop_token& stop) {
        std::unique_lock lock(mutex);
        while (wake.wait(lock, stop, [&] { return job.has_value(); })) {
            const auto task = *std::exchange(job, std::nullopt);
            busy = true;
            lock.unlock();
            run(task);
            lock.lock();
            busy = false;
        }
    }

    std::jthread worker;
};

Resolver::Resolver(Millis period, LookUp look_up) : shared_(std::make_shared<Shared>(period, std::move(look_up))) {
    shared_->worker = std::jthread([shared = shared_](const std::stop_token& stop) { shared->work(stop); });
}

Resolver::~Resolver() {
    shared_->worker.request_stop();
    // A look-up cannot be interrupted, and the agent's exit may not wait for a dead name server.
    shared_->worker.detach();
}

void Resolver::ask(const std::set<HostName>& names, Time now) {
    const std::lock_guard lock(shared_->mutex);
    auto& state = *shared_;
    state.names = names;
    const auto left = [&](const auto& entry) { return !names.contains(entry.first); };
    std::erase_if(state.known.addresses, left);
    std::erase_if(state.known.failures, left);
    std::erase_if(state.tried, [&](const HostName& name) { return !names.contains(name); });
    if (state.busy || state.job || names.empty()) {
        return;
    }
    auto task = names;
    if (state.tried.empty() || now - state.round >= state.period) {
        state.round = now;
    } else {
        std::erase_if(task, [&](const HostName& name) { return state.tried.contains(name); });
    }
    if (!task.empty()) {
        state.tried = names;
        state.job = std::move(task);
        state.wake.notify_all();
    }
}

Known Resolver::known() const {
    const std::lock_guard lock(shared_->mutex);
    return shared_->known;
}

}  // namespace upstat::attribute
