// SPDX-License-Identifier: Apache-2.0
// The scripted TCP peer:
//   peer [--only TEXT] CASES...       plays the named cases
//   peer --generate COUNT [--seed N]  plays random schedules
#include <spdlog/spdlog.h>

#include <charconv>
#include <cstring>
#include <fstream>
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

bool play_cases(Wire& wire, Counts& counts, const Arguments& arguments) {
    int passed = 0;
    int failed = 0;
    for (const auto& each : read_cases(arguments.files)) {
        if (each.name.find(arguments.only) == std::string::npos) {
            continue;
        }
        const auto wrong = play(wire, counts, each);
        (wrong.empty() ? passed : failed)++;
        if (!wrong.empty()) {
            fmt::print("FAILED {}: {}\n", each.name, wrong);
        }
    }
    fmt::print("{} passed, {} failed\n", passed, failed);
    return failed == 0 && passed > 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        spdlog::set_level(spdlog::level::warn);
        const auto arguments = read_arguments(argc, argv);
        enter_namespace();
        Wire wire;
        Counts counts;
        if (arguments.generate != 0) {
            return generate(wire, counts, arguments.seed, arguments.generate) ? 0 : 1;
        }
        return play_cases(wire, counts, arguments) ? 0 : 1;
    } catch (const std::exception& error) {
        fmt::print(stderr, "peer: {}\n", error.what());
        return 3;
    }
}
