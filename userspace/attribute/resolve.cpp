// SPDX-License-Identifier: Apache-2.0
#include "attribute/resolve.hpp"

#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/host_port.hpp"

namespace upstat::attribute {

namespace {

constexpr std::size_t most_names = 1000;  ///< of one process
constexpr std::size_t most_near = 64;     ///< that are looked up every few seconds
constexpr int most_threads = 32;
constexpr int most_threads_of_one = 4;                         ///< process
constexpr Millis longest_unlisted = std::chrono::seconds(90);  ///< Go's pool keeps an idle connection for so long

bool is_localhost(const std::string& host) {
    return host == "localhost";
}

bool look_up_for(const std::string& process, const std::set<std::string>& names, const TakeName& take) {
    return look_up(process.empty() ? "/proc/self" : process, names, take);
}

std::optional<HostPort> named_endpoint(const std::string& url) {
    auto endpoint = any_endpoint_of(url);
    return endpoint && !poll::parse_server(*endpoint) ? std::move(endpoint) : std::nullopt;
}

/// Those that are looked up.
std::set<HostName> first_of_each(const std::set<HostName>& names) {
    std::set<HostName> first;
    const std::string* process = nullptr;
    std::size_t count = 0;
    for (const auto& name : names) {
        count = process != nullptr && *process == name.process ? count + 1 : 1;
        process = &name.process;
        if (count <= most_names) {
            first.insert(first.end(), name);
        }
    }
    return first;
}

}  // namespace

std::set<HostName> names_of(const Catalogue& catalogue, const std::set<std::string>& processes) {
    std::set<HostName> names;
    const auto add = [&](const std::vector<Listed>& all) {
        for (const auto& listed : all) {
            const auto endpoint = named_endpoint(listed.url);
            for (const auto& process : processes) {
                if (endpoint && !is_localhost(endpoint->host)) {
                    names.insert({.process = process, .host = endpoint->host});
                }
            }
        }
    };
    for (const auto& [name, backend] : catalogue.backends) {
        add(backend.listed);
    }
    for (const auto* const all : {&catalogue.streams, &catalogue.auths, &catalogue.asked}) {
        add(*all);
    }
    return names;
}

void fill(Catalogue& catalogue, const std::set<std::string>& processes, const Addresses& addresses) {
    const auto addresses_of = [&](const std::string& host) {
        auto all = is_localhost(host) ? std::set<std::string>{"127.0.0.1", "::1"} : std::set<std::string>();
        for (const auto& process : processes) {
            if (const auto found = addresses.find({.process = process, .host = host}); found != addresses.end()) {
                all.insert(found->second.begin(), found->second.end());
            }
        }
        return all;
    };
    const auto fill_all = [&](std::vector<Listed>& all) {
        for (auto& listed : all) {
            const auto endpoint = named_endpoint(listed.url);
            const auto known = endpoint ? addresses_of(endpoint->host) : std::set<std::string>();
            if (known.empty()) {
                continue;
            }
            listed.servers = listed_at(listed.url).servers;
            for (const auto& address : known) {
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
    fill_all(catalogue.auths);
    fill_all(catalogue.asked);
}

/// Owned by the Resolver and by its threads, so that these may outlive the Resolver inside a look-up.
struct Resolver::Shared {
    struct Name {
        std::map<std::string, Time> seen;  ///< addresses, and when an answer had them last
        std::set<std::string> latest;      ///< those of the last answer
        std::optional<Time> asked;
        bool under_way = false;
        bool heard = false;  ///< of its first look-up
        bool near = false;
    };

    Shared(Millis every, Millis near_every, LookUp with)
        : period(every), near_period(near_every), look_up(with ? std::move(with) : LookUp(look_up_for)) {}

    const Millis period;
    const Millis near_period;
    const LookUp look_up;

    std::mutex mutex;
    Time now;  ///< as it was last said
    std::map<HostName, Name> names;
    std::map<HostName, std::string> failures;
    std::size_t left_out = 0;
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;
    std::uint64_t changes = 0;
    int threads = 0;
    std::map<std::string, int> threads_of;  ///< by process

    [[nodiscard]] bool is_due(const Name& name) const {
        return !name.under_way && (!name.asked || now - *name.asked >= (name.near ? near_period : period));
    }

    [[nodiscard]] int threads_for(const std::string& process) const {
        const auto found = threads_of.find(process);
        return found == threads_of.end() ? 0 : found->second;
    }

    void each_of(const std::string& process, auto&& take) {
        for (auto at = names.lower_bound({.process = process, .host = {}});
             at != names.end() && at->first.process == process; ++at) {
            take(at->second);
        }
    }

    /// What is new here is no longer another's, and what is no longer here may be another's.
    void take_answer(const std::string& process, Name& name, std::set<std::string> answer) {
        const auto before = std::exchange(name.latest, std::move(answer));
        for (const auto& address : name.latest) {
            changes += name.seen.insert_or_assign(address, now).second ? 1 : 0;
            if (!before.contains(address)) {
                each_of(process, [&](Name& other) {
                    changes += other.latest.contains(address) ? 0 : other.seen.erase(address);
                });
            }
        }
        for (const auto& address : before) {
            bool is_claimed = false;
            if (!name.latest.contains(address)) {
                each_of(process, [&](Name& other) { is_claimed = is_claimed || other.latest.contains(address); });
            }
            changes += is_claimed ? name.seen.erase(address) : 0;
        }
        changes += std::erase_if(name.seen, [&](const auto& entry) { return now - entry.second > longest_unlisted; });
    }

    void keep(const HostName& host, LookedUp answer) {
        const std::lock_guard lock(mutex);
        ++(answer ? succeeded : failed);
        const auto found = names.find(host);
        if (found == names.end()) {
            return;  // it has left the catalogue meanwhile
        }
        found->second.under_way = false;
        changes += std::exchange(found->second.heard, true) ? 0 : 1;
        if (answer) {
            failures.erase(host);
            take_answer(host.process, found->second, *std::move(answer));
        } else {
            failures[host] = std::move(answer.error());
        }
    }

    void run(const std::string& process, const std::set<std::string>& task) {
        pthread_setname_np(pthread_self(), "names");
        const bool near = look_up(process, task, [&](const std::string& name, LookedUp answer) {
            keep({.process = process, .host = name}, std::move(answer));
        });
        const std::lock_guard lock(mutex);
        --threads;
        if (--threads_of[process] == 0) {
            threads_of.erase(process);
        }
        for (const auto& name : task) {
            if (const auto found = names.find({.process = process, .host = name}); found != names.end()) {
                found->second.near = near && task.size() <= most_near;
            }
        }
    }

    /// False where there is no room for another thread: the names stay due.
    static bool start(const std::shared_ptr<Shared>& shared, const std::string& process,
                      const std::set<std::string>& task) {
        if (shared->threads >= most_threads || shared->threads_for(process) >= most_threads_of_one) {
            return false;
        }
        try {
            std::thread([shared, process, task] { shared->run(process, task); }).detach();
        } catch (const std::system_error&) {
            return false;
        }
        ++shared->threads;
        ++shared->threads_of[process];
        return true;
    }
};

Resolver::Resolver(Millis period, Millis near_period, LookUp look_up)
    : shared_(std::make_shared<Shared>(period, near_period, std::move(look_up))) {}

Resolver::~Resolver() = default;

void Resolver::ask(const std::set<HostName>& names, Time now) {
    const std::lock_guard lock(shared_->mutex);
    auto& state = *shared_;
    state.now = now;
    const auto wanted = first_of_each(names);
    state.left_out = names.size() - wanted.size();
    std::erase_if(state.names, [&](const auto& entry) { return !wanted.contains(entry.first); });
    std::erase_if(state.failures, [&](const auto& entry) { return !wanted.contains(entry.first); });
    std::map<std::string, std::set<std::string>> due;
    for (const auto& name : wanted) {
        if (state.is_due(state.names[name])) {
            due[name.process].insert(name.host);
        }
    }
    std::vector<std::pair<std::string, std::set<std::string>>> rounds(due.begin(), due.end());
    // Where threads are rare, whoever has none goes first.
    std::ranges::stable_sort(rounds, {}, [&](const auto& round) { return state.threads_for(round.first); });
    for (const auto& [process, hosts] : rounds) {
        if (!Shared::start(shared_, process, hosts)) {
            continue;
        }
        for (const auto& host : hosts) {
            auto& name = state.names[{.process = process, .host = host}];
            name.asked = now;
            name.under_way = true;
        }
    }
}

Known Resolver::known() const {
    const std::lock_guard lock(shared_->mutex);
    Known known{.addresses = {},
                .failures = shared_->failures,
                .pending = {},
                .succeeded = shared_->succeeded,
                .failed = shared_->failed,
                .left_out = shared_->left_out};
    for (const auto& [host, name] : shared_->names) {
        if (!name.heard) {
            known.pending.insert(host.host);
        }
        for (const auto& [address, seen] : name.seen) {
            known.addresses[host].insert(address);
        }
    }
    return known;
}

std::uint64_t Resolver::changes() const {
    const std::lock_guard lock(shared_->mutex);
    return shared_->changes;
}

}  // namespace upstat::attribute
