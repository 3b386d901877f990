// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.hpp"

#include <spdlog/fmt/fmt.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "agent/agent.hpp"
#include "cli/commands.hpp"
#include "cli/log.hpp"

namespace upstat::cli {

namespace {

/// What the command line says.
struct Words {
    std::string config_file;
    config::Given flags;
    std::string output = "text";
    std::string backend;
    std::string checked_file;
};

void add_options(CLI::App& app, Words& words) {
    app.add_option("--config.file", words.config_file, "YAML with the same names as keys; unknown keys are errors")
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
                   words.flags[name] = values;
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

int run_with_settings(const CLI::App& app, const Words& words) {
    const auto file =
        words.config_file.empty() ? config::FileSettings{} : config::read_settings_file(words.config_file);
    const auto settings = config::merge(file, words.config_file, config::read_environment(), words.flags);
    if (!settings) {
        return print(settings.error());
    }
    set_up_log(settings->log_level, settings->log_format);
    if (app.got_subcommand("status")) {
        return print(show_status(*settings, output_of(words)));
    }
    if (app.got_subcommand("top")) {
        return print(show_top(*settings, output_of(words)));
    }
    if (app.got_subcommand("explain")) {
        return print(explain(*settings, words.backend, output_of(words)));
    }
    if (app.got_subcommand("detach")) {
        return print(detach(*settings));
    }
    return print(agent::run_agent(*settings));
}

}  // namespace

int run_command_line(int argc, char** argv) {
    Words words;
    CLI::App app("Counts the HTTP status codes of Traefik's servers in the kernel, and raises the alert.", "upstat");
    app.fallthrough();
    app.require_subcommand(0, 1);
    add_options(app, words);
    app.add_subcommand("run", "the agent, in the foreground (the default)");
    const auto with_output = [&](CLI::App* command) {
        command->add_option("--output", words.output, "text or json")->check(CLI::IsMember({"text", "json"}));
        return command;
    };
    with_output(app.add_subcommand("top", "live table: backends, servers, codes, ratio, alert state"));
    with_output(app.add_subcommand("explain", "the alert's runbook, answered with this host's numbers"))
        ->add_option("BACKEND", words.backend, "as the alert's label names it")
        ->required();
    with_output(app.add_subcommand("status", "Traefiks found, programs attached, map fill, polls, pushes, API"));
    app.add_subcommand("check-config", "exit 0, or each mistake with file:line and a hint")
        ->add_option("FILE", words.checked_file)
        ->required();
    app.add_subcommand("detach", "takes every pinned program and map off the host");
    app.add_subcommand("version", "prints the version");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : static_cast<int>(Error::Kind::usage);
    }
    if (app.got_subcommand("version")) {
        std::cout << "upstat " << UPSTAT_VERSION << '\n';
        return 0;
    }
    if (app.got_subcommand("check-config")) {
        return print(check_config(words.checked_file));
    }
    return run_with_settings(app, words);
}

}  // namespace upstat::cli
