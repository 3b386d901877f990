// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.hpp"

#include <spdlog/fmt/fmt.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "agent/run.hpp"
#include "base/nearest.hpp"
#include "base/printable.hpp"
#include "base/url.hpp"
#include "base/version.hpp"
#include "cli/ask.hpp"
#include "cli/commands.hpp"
#include "cli/log.hpp"
#include "config/options.hpp"

namespace upstat::cli {

namespace {

/// What the command line says.
struct Words {
    config::Sources sources;
    std::string output = "text";
    std::string backend;
    std::string checked_file;
    bool once = false;
};

void add_options(CLI::App& app, Words& words) {
    app.add_option("--config.file", words.sources.file, "YAML with the same names as keys; unknown keys are errors")
        ->type_name("FILE")
        ->envname(config::variable_of("config.file"));
    for (const auto& option : config::options()) {
        auto help = std::string(option.help);
        if (!option.initial.empty()) {
            help += fmt::format(" (default {})", option.initial);
        }
        app.add_option_function<std::vector<std::string>>(
               "--" + std::string(option.name),
               [&words, name = std::string(option.name)](const std::vector<std::string>& values) {
                   words.sources.flags[name] = values;
               },
               help)
            ->type_name(std::string(option.value))
            ->expected(1)
            ->multi_option_policy(option.repeatable ? CLI::MultiOptionPolicy::TakeAll
                                                    : CLI::MultiOptionPolicy::TakeLast)
            ->group("Settings (flag > variable UPSTAT_... > file > default)");
    }
}

int print(const Error& error) {
    std::cerr << "upstat: " << error.text() << '\n';
    return static_cast<int>(error.kind);
}

int print(const std::vector<Error>& errors) {
    for (const auto& error : errors) {
        print(error);
    }
    return static_cast<int>(Error::Kind::usage);
}

int print(const Result<void>& result) {
    return result ? 0 : print(result.error());
}

Output output_of(const Words& words) {
    return words.output == "json" ? Output::json : Output::text;
}

/// One of the commands that have settings. What an agent says is read by at(), and may be no agent's.
Result<void> run_command(const CLI::App& app, const Words& words, const config::Settings& settings) {
    try {
        if (app.got_subcommand("status")) {
            return show_status(settings, output_of(words));
        }
        if (app.got_subcommand("top")) {
            return show_top(settings, output_of(words), words.once);
        }
        if (app.got_subcommand("explain")) {
            return explain(settings, words.backend, output_of(words));
        }
        if (app.got_subcommand("sockets")) {
            return show_sockets(settings, words.backend, output_of(words));
        }
    } catch (const nlohmann::json::exception&) {
        return std::unexpected(no_agent_of_this_version(settings));
    }
    return app.got_subcommand("detach") ? detach(settings)
                                        : agent::run(settings, [&words] { return config::load(words.sources); });
}

int run_with_settings(const CLI::App& app, const Words& words) {
    const auto settings = config::load(words.sources);
    if (!settings) {
        return print(settings.error());
    }
    set_up_log(settings->log_level, settings->log_format);
    return print(run_command(app, words, *settings));
}

std::string version_text() {
    return fmt::format("upstat {} (revision {})", version(), revision());
}

void add_commands(CLI::App& app, Words& words) {
    app.add_subcommand("run", "the agent, in the foreground (the default)");
    const auto with_output = [&](CLI::App* command) {
        command->add_option("--output", words.output, "text or json")->check(CLI::IsMember({"text", "json"}));
        return command;
    };
    with_output(app.add_subcommand("top", "live table: backends, servers, codes, ratio, alert state"))
        ->add_flag("--once", words.once, "print it once, as where stdout is no terminal");
    with_output(
        app.add_subcommand("explain", "what is wrong and why: the alert's runbook, answered with this host's numbers"))
        ->add_option("BACKEND", words.backend,
                     "as the alert's label names it; without it all that is wrong, worst first");
    with_output(
        app.add_subcommand("sockets", "the connections to servers: responses by class, state, age; the worst first"))
        ->add_option("BACKEND", words.backend, "only those to its servers");
    with_output(app.add_subcommand("status", "Traefiks found, programs attached, map fill, polls, pushes, API"));
    app.add_subcommand("check-config", "exit 0, or each mistake with file:line and a hint")
        ->add_option("FILE", words.checked_file)
        ->required();
    app.add_subcommand("detach", "takes every pinned program and map off the host");
    app.add_subcommand("version", "prints the version and the git revision");
}

Error unknown_flag(std::string_view word) {
    const auto flag = word.substr(0, word.find('='));  // what follows may be a URL with a password
    auto names = config::option_names();
    names.insert(names.end(), {"config.file", "output", "version", "help"});
    const auto meant = nearest(flag.substr(std::min(flag.find_first_not_of('-'), flag.size())), names);
    return {.kind = Error::Kind::usage,
            .message = fmt::format("there is no flag {}", printable(flag)),
            .hint = meant.empty() ? "see `upstat --help`" : fmt::format("did you mean --{}?", meant)};
}

Error unknown_command(const CLI::App& app, const std::string& word) {
    std::vector<std::string> commands;
    for (const auto* const command : app.get_subcommands([](const CLI::App*) { return true; })) {
        commands.push_back(command->get_name());
    }
    const auto meant = nearest(word, std::vector<std::string_view>(commands.begin(), commands.end()));
    return {.kind = Error::Kind::usage,
            .message = fmt::format("there is no command {}", printable(without_password(word))),
            .hint = meant.empty() ? "see `upstat --help`" : fmt::format("did you mean {}?", meant)};
}

/// What the command line has too much; `word` is the first of it.
Error unexpected_word(const CLI::App& app, const std::string& word) {
    if (word.starts_with('-')) {
        return unknown_flag(word);
    }
    if (app.get_subcommands().empty()) {
        return unknown_command(app, word);
    }
    return {.kind = Error::Kind::usage,
            .message = fmt::format("\"{}\" is one word too many", printable(without_password(word))),
            .hint = "see `upstat --help`"};
}

}  // namespace

int run_command_line(int argc, char** argv) {
    Words words;
    CLI::App app("Counts the HTTP status codes of Traefik's servers in the kernel, and raises the alert.", "upstat");
    app.fallthrough();
    app.require_subcommand(0, 1);
    app.set_version_flag("-V,--version", version_text());
    add_options(app, words);
    add_commands(app, words);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ExtrasError&) {
        return print(unexpected_word(app, app.remaining(true).front()));
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : static_cast<int>(Error::Kind::usage);
    }
    if (app.got_subcommand("version")) {
        std::cout << version_text() << '\n';
        return 0;
    }
    if (app.got_subcommand("check-config")) {
        return print(check_config(words.checked_file));
    }
    return run_with_settings(app, words);
}

}  // namespace upstat::cli
