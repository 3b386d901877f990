// SPDX-License-Identifier: Apache-2.0
#include "agent/run.hpp"

#include <malloc.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>

#include <csignal>
#include <memory>
#include <utility>

#include "agent/agent.hpp"
#include "base/fd.hpp"
#include "base/http_thread.hpp"
#include "base/unprivileged.hpp"
#include "programs/counter.hpp"

namespace upstat::agent {

namespace {

/// The signals that the loop heeds, as a descriptor.
Fd watch_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    return Fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

Result<std::unique_ptr<Agent>> start(const config::Settings& settings, Parts parts) {
    auto kernel = open_kernel(settings);
    if (!kernel) {
        return std::unexpected(kernel.error());
    }
    parts.kernel = *std::move(kernel);
    return Agent::start(settings, std::move(parts));
}

}  // namespace

Result<void> run(const config::Settings& settings,
                 std::function<std::expected<config::Settings, std::vector<Error>>()> load) {
    const bool pinned_before = programs::Counter::is_pinned(settings.bpf_pin_path);
    mallopt(M_ARENA_MAX, 1);         // a heap for each thread would only hold what it once freed
    std::signal(SIGPIPE, SIG_IGN);   // a peer that is gone is an error of its write
    auto signals = watch_signals();  // before any thread is there that could take them
    auto words = unprivileged_words();
    spdlog::info("threads that read foreign bytes: {}", words);
    auto agent = start(settings, {.http = std::make_unique<HttpThread>(),
                                  .catalogue_reader = std::make_unique<traefik::CatalogueThread>(),
                                  .executables = std::make_unique<traefik::ExecutableThreads>(),
                                  .configurations = std::make_unique<traefik::ConfigurationThreads>(),
                                  .kernel = nullptr,
                                  .signals = std::move(signals),
                                  .counted_before = pinned_before,
                                  .load = std::move(load),
                                  .supervisor = systemd(),
                                  .reading_threads = std::move(words)});
    if (!agent) {
        if (!pinned_before) {  // a start that was refused leaves the host as it was
            if (auto detached = programs::Counter::detach(settings.bpf_pin_path); !detached) {
                spdlog::warn("{}", detached.error().text());
            }
        }
        return std::unexpected(agent.error());
    }
    (*agent)->run();
    return {};
}

}  // namespace upstat::agent
