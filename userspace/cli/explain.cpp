// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>

#include <iostream>

#include "base/json_text.hpp"
#include "base/printable.hpp"
#include "base/url.hpp"
#include "cli/ask.hpp"
#include "cli/commands.hpp"
#include "cli/servers.hpp"

namespace upstat::cli {

namespace {

using nlohmann::json;

/// As long as the facts are; names are bounded where they are read.
constexpr std::size_t longest_line = 4096;

std::string line(const json& text) {
    return printable(text.get<std::string>(), longest_line);
}

std::string facts_text(const json& explanation) {
    std::string text;
    for (const auto& fact : explanation.at("facts")) {
        text += fmt::format("  {:<8} {}\n", line(fact.at("topic")), line(fact.at("text")));
    }
    for (int number = 0; const auto& step : explanation.at("next")) {
        const auto command = line(step.at("command"));
        text += fmt::format("  {:<8} {}\n{}", number++ == 0 ? "next" : "", line(step.at("text")),
                            command.empty() ? "" : fmt::format("             {}\n", command));
    }
    return text;
}

std::string problem_text(const json& explanation) {
    return line(explanation.at("sentence")) + "\n" + facts_text(explanation);
}

/// A line for each problem, the first one in full.
std::string host_text(const json& reply) {
    const auto& problems = reply.at("problems");
    if (problems.empty()) {
        return line(reply.at("sentence")) + "\n";
    }
    auto text = problem_text(problems.front());
    for (std::size_t i = 1; i < problems.size(); ++i) {
        text += (i == 1 ? "\n" : "") + line(problems.at(i).at("sentence")) + "\n";
    }
    return text;
}

}  // namespace

Result<void> explain(const config::Settings& settings, const std::string& backend, Output output) {
    if (auto known = check_backend(settings, backend); !known) {
        return known;
    }
    const auto query = backend.empty() ? std::string() : "?backend=" + percent_encoded(backend);
    const auto reply = ask_agent(settings, "/api/v1/explain" + query);
    if (!reply) {
        return std::unexpected(reply.error());
    }
    const auto text = backend.empty() ? host_text(*reply) : problem_text(*reply);  // as JSON too: it may be no agent's
    std::cout << (output == Output::json ? json_text(*reply, 2) + "\n" : text);
    return {};
}

}  // namespace upstat::cli
