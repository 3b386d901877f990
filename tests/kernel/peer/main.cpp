// SPDX-License-Identifier: Apache-2.0
// The scripted TCP peer:
//   peer [--only TEXT] [--until-failure] CASES...   plays the named cases
//   peer --generate COUNT [--seed N]                plays random schedules
// --taken: as if another program were reading a head on each CPU, so that each head is read line by line, and no route
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "generate.hpp"
#include "play.hpp"

namespace {

using namespace upstat::peer;

struct Arguments {
    std::string only;
    bool until_failure = false;
    bool taken = false;
    std::vector<std::string> files;
    int generate = 0;
    std::uint64_t seed = std::random_device{}();
};

Arguments read_arguments(int argc, char** argv) {
    Arguments arguments;
    for (int at = 1; at < argc; at++) {
        const std::string word = argv[at];
        if (word == "--only" && at + 1 < argc) {
            arguments.only = argv[++at];
        } else if (word == "--until-failure") {
            arguments.until_failure = true;
        } else if (word == "--taken") {
            arguments.taken = true;
        } else if (word == "--generate" && at + 1 < argc) {
            arguments.generate = std::stoi(argv[++at]);
        } else if (word == "--seed" && at + 1 < argc) {
            arguments.seed = std::stoull(argv[++at]);
        } else {
            arguments.files.push_back(word);
        }
    }
    return arguments;
}

std::vector<Case> read_cases(const std::vector<std::string>& files) {
    std::vector<Case> cases;
    for (const auto& file : files) {
        std::ifstream input(file);
        if (!input) {
            throw std::runtime_error("cannot read " + file);
        }
        std::ostringstream text;
        text << input.rdbuf();
        for (auto& each : parse_cases(text.str(), file)) {
            cases.push_back(std::move(each));
        }
    }
    return cases;
}

/// What is wrong with a case; nothing where it was skipped.
std::optional<std::string> play_or_skip(Wire& wire, Counts& counts, const Case& each) {
    try {
        return play(wire, counts, each);
    } catch (const Skip& skip) {
        fmt::print("SKIPPED {}: {}\n", each.name, skip.what());
        return std::nullopt;
    }
}

bool play_cases(Wire& wire, Counts& counts, const Arguments& arguments) {
    int passed = 0;
    int failed = 0;
    int skipped = 0;
    for (const auto& each : read_cases(arguments.files)) {
        if (each.name.find(arguments.only) == std::string::npos) {
            continue;
        }
        const auto wrong = play_or_skip(wire, counts, each);
        (!wrong ? skipped : wrong->empty() ? passed : failed)++;
        if (wrong && !wrong->empty()) {
            fmt::print("FAILED {}: {}\n", each.name, *wrong);
            if (arguments.until_failure) {
                break;
            }
        }
    }
    fmt::print("{} passed, {} failed, {} skipped\n", passed, failed, skipped);
    return failed == 0 && passed > 0;
}

int work(const Arguments& arguments, const Places& places) {
    try {
        enter_namespace();
        Wire wire;
        Counts counts(places);
        if (arguments.taken) {
            counts.occupy_head_buffers();
        }
        bool right = arguments.generate != 0 ? generate(wire, counts, arguments.seed, arguments.generate)
                                             : play_cases(wire, counts, arguments);
        if (arguments.taken && !counts.head_buffers_untouched()) {
            fmt::print("FAILED: a head was looked through in a room that was taken\n");
            right = false;
        }
        return right ? 0 : 1;
    } catch (const std::exception& error) {
        fmt::print(stderr, "peer: {}\n", error.what());
        return 3;
    }
}

/// The work is a child's, so that what it made on this host is taken away however it ends.
int supervise(pid_t child, const sigset_t& signals) {
    for (int status = 0;;) {
        int signal = 0;
        sigwait(&signals, &signal);
        if (signal != SIGCHLD) {
            ::kill(child, SIGKILL);
        }
        if (::waitpid(child, &status, signal == SIGCHLD ? WNOHANG : 0) == child) {
            return WIFEXITED(status) ? WEXITSTATUS(status) : 3;
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    spdlog::set_level(spdlog::level::warn);
    const auto arguments = read_arguments(argc, argv);
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGCHLD, SIGTERM, SIGINT}) {
        sigaddset(&signals, signal);
    }
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    const auto places = make_places();
    const auto child = ::fork();
    if (child == 0) {
        sigprocmask(SIG_UNBLOCK, &signals, nullptr);
        const int status = work(arguments, places);
        std::fflush(nullptr);
        ::_exit(status);
    }
    const int status = supervise(child, signals);
    remove(places);
    return status;
}
