// SPDX-License-Identifier: Apache-2.0
/// soak serve: servers that do what each request asks for. soak ask: a client that asks. Each writes down what it saw.
/// soak overlap: two CPUs deliver to one socket at once.
#include <pthread.h>
#include <signal.h>
#include <spdlog/fmt/fmt.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <functional>
#include <thread>

#include "sides.hpp"

namespace soak {
namespace {

struct Settings {
    std::string record;
    std::uint32_t threads = 2;
    Load load;
};

/// Blocks the signals that end the run: main waits for them, and threads inherit that.
sigset_t block_ends() {
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, nullptr);
    return ends;
}

/// Runs `work(i)` in threads until a signal comes; their records' sum. Says `progress()` five times a second until
/// then.
Record run_threads(std::uint32_t threads, std::atomic<bool>& stop, const std::function<Record(std::uint32_t)>& work,
                   const std::function<std::uint64_t()>& progress) {
    const auto ends = block_ends();
    std::vector<Record> records(threads);
    std::vector<std::jthread> running;
    for (std::uint32_t i = 0; i < threads; i++) {
        running.emplace_back([&, i] {
            try {
                records[i] = work(i);
            } catch (const std::exception& error) {
                fmt::print(stderr, "soak: {}\n", error.what());
                std::_Exit(1);  // the other threads wait for what will not come
            }
        });
    }
    const timespec interval{.tv_sec = 0, .tv_nsec = 200'000'000};
    while (sigtimedwait(&ends, nullptr, &interval) < 0) {
        fmt::print("{}\n", progress());
        std::fflush(stdout);
    }
    stop = true;
    running.clear();
    Record sum;
    for (const auto& record : records) {
        add(sum, record);
    }
    return sum;
}

void run_servers(const Settings& settings) {
    std::atomic<bool> stop = false;
    const auto work = [&](std::uint32_t) { return serve(settings.load.addresses, stop); };
    write(run_threads(settings.threads, stop, work, [] { return 0; }), settings.load.addresses, settings.record);
}

void run_clients(const Settings& settings) {
    struct alignas(64) Answers {
        std::atomic<std::uint64_t> count = 0;
    };
    std::atomic<bool> stop = false;
    std::vector<Answers> answers(settings.threads);
    const auto work = [&](std::uint32_t i) {
        auto load = settings.load;
        load.seed = load.seed * 1000 + i;
        load.sockets /= settings.threads;
        return ask(load, stop, answers[i].count);
    };
    const auto progress = [&] {
        std::uint64_t sum = 0;
        for (const auto& one : answers) {
            sum += one.count;
        }
        return sum;
    };
    write(run_threads(settings.threads, stop, work, progress), settings.load.addresses, settings.record);
}

void add_common(CLI::App& app, Settings& settings) {
    app.add_option("--record", settings.record, "where to write what was seen, as JSON")->required();
    app.add_option("--threads", settings.threads);
    app.add_option("addresses", settings.load.addresses, "127.0.0.1:8000 ...")->required();
}

}  // namespace
}  // namespace soak

int main(int argc, char** argv) {
    CLI::App app("The soak's client and servers");
    soak::Settings settings;
    std::string cgroup;
    std::uint32_t connections = 10;
    std::uint32_t requests = 1000;
    app.require_subcommand(1);
    auto* serve = app.add_subcommand("serve", "does what requests ask for, until SIGTERM");
    soak::add_common(*serve, settings);
    auto* ask = app.add_subcommand("ask", "asks until SIGTERM, and says the number of answers as it goes");
    soak::add_common(*ask, settings);
    ask->add_option("--sockets", settings.load.sockets, "size of the pool");
    ask->add_option("--seed", settings.load.seed);
    auto* overlap = app.add_subcommand("overlap", "two CPUs deliver to one socket at once; see overlap.cpp");
    overlap->add_option("--cgroup", cgroup)->required();
    overlap->add_option("--connections", connections);
    overlap->add_option("--requests", requests, "on each connection");
    CLI11_PARSE(app, argc, argv);
    try {
        if (*serve) {
            soak::run_servers(settings);
        } else if (*ask) {
            soak::run_clients(settings);
        } else {
            return soak::overlap(cgroup, connections, requests);
        }
    } catch (const std::exception& error) {
        fmt::print(stderr, "soak: {}\n", error.what());
        return 1;
    }
    return 0;
}
