// SPDX-License-Identifier: Apache-2.0
#include "config/settings_file.hpp"

#include <spdlog/fmt/fmt.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "base/nearest.hpp"
#include "base/regular_file.hpp"
#include "config/options.hpp"

namespace upstat::config {

namespace {

/// Whether options stand below this name.
bool is_section(const std::string& name) {
    return std::ranges::any_of(options(), [&](const Option& option) { return option.name.starts_with(name + "."); });
}

std::string hint_for(std::string_view unknown) {
    auto names = option_names();
    names.emplace_back("alert.rules");
    const auto meant = nearest(unknown, names);
    return meant.empty() ? "" : fmt::format("did you mean {}?", meant);
}

/// The name of a rule that is always there.
bool is_built_in(const std::string& rule) {
    return rule == judge::Rule{}.name || rule == connect_failures_rule || rule == unanswered_rule;
}

bool takes_map(const std::string& name) {
    const auto* const option = find_option(name);
    return option != nullptr && option->map;
}

/// Empty for what is no text.
std::string text_of(const YAML::Node& node) {
    return node.IsDefined() && node.IsScalar() ? node.Scalar() : "";
}

/// What an option is given; nothing where it is given what it does not take.
Texts texts_of(const YAML::Node& node, const Option& option) {
    Texts texts;
    if (node.IsScalar()) {
        texts.push_back(node.Scalar());
    } else if (node.IsSequence() && option.repeatable) {
        std::ranges::transform(node, std::back_inserter(texts), text_of);
    } else if (node.IsMap() && option.map) {
        for (const auto& entry : node) {
            if (!entry.second.IsScalar() && !entry.second.IsNull()) {
                return {};
            }
            texts.push_back(text_of(entry.first) + "=" + text_of(entry.second));
        }
    }
    return texts;
}

Error file_error(const std::string& path, const YAML::Mark& mark, const std::string& message, std::string hint = {}) {
    return {.kind = Error::Kind::usage,
            .message = fmt::format("{}:{}: {}", path, mark.line + 1, message),
            .hint = std::move(hint)};
}

/// Reads a settings file: flattens nested keys to dotted ones.
class FileReader {
  public:
    FileReader(std::string path, FileSettings& into) : path_(std::move(path)), into_(into) {}

    void read_map(const YAML::Node& map, const std::string& prefix) {
        for (const auto& entry : map) {
            const auto name = prefix + entry.first.Scalar();
            if (name == "alert.rules") {
                read_rules(entry.second);
            } else if (entry.second.IsNull() && is_section(name)) {
                continue;  // a section whose keys are all commented out
            } else if (entry.second.IsMap() && !takes_map(name)) {
                read_map(entry.second, name + ".");
            } else {
                read_option(name, entry.first.Mark(), entry.second);
            }
        }
    }

  private:
    void mistake(const YAML::Mark& mark, const std::string& message, const std::string& hint = {}) {
        into_.errors.push_back(file_error(path_, mark, message, hint));
    }

    void read_option(const std::string& name, const YAML::Mark& mark, const YAML::Node& value) {
        const auto* const option = find_option(name);
        if (option == nullptr) {
            mistake(mark, fmt::format("unknown key {}", name), hint_for(name));
            return;
        }
        if (into_.given.contains(name)) {
            mistake(mark, fmt::format("{} is given twice", name));
            return;
        }
        Settings scratch;
        if (set_option(scratch, *option, name, value)) {
            into_.given[name] = texts_of(value, *option);
        }
    }

    bool set_option(Settings& settings, const Option& option, const std::string& name, const YAML::Node& value) {
        const auto texts = texts_of(value, option);
        if (texts.empty()) {
            const auto* const kinds = option.map ? "map of texts" : option.repeatable ? "list or a value" : "value";
            mistake(value.Mark(), fmt::format("{} needs a {}", name, kinds));
            return false;
        }
        const auto set = option.set(settings, texts);
        if (!set) {
            mistake(value.Mark(), fmt::format("{}: {}", name, set.error().message), set.error().hint);
        }
        return set.has_value();
    }

    void read_rules(const YAML::Node& rules) {
        if (!rules.IsSequence()) {
            mistake(rules.Mark(), "alert.rules needs a list of rules");
            return;
        }
        for (const auto& rule : rules) {
            read_rule(rule);
        }
    }

    void read_rule(const YAML::Node& node) {
        if (!node.IsMap() || text_of(node["name"]).empty()) {
            mistake(node.Mark(), "a rule needs a name, which its alerts are called by",
                    "name, and of codes, window, for, threshold-percent, min-rate, severity, labels, annotations what "
                    "differs");
            return;
        }
        Settings scratch;  // a rule of the file begins as the built-in one
        for (const auto& entry : node) {
            read_rule_key(scratch, entry.first, entry.second);
        }
        const auto known = [&](const judge::Rule& rule) { return rule.name == scratch.rule.name; };
        if (is_built_in(scratch.rule.name) || std::ranges::any_of(into_.rules, known)) {
            mistake(node.Mark(), fmt::format("there is a rule {} already", scratch.rule.name));
            return;
        }
        into_.rules.push_back(scratch.rule);
    }

    void read_rule_key(Settings& scratch, const YAML::Node& key, const YAML::Node& value) {
        const auto& name = key.Scalar();
        if (name == "name") {
            scratch.rule.name = text_of(value);
        } else if (name == "severity") {
            scratch.rule.severity = text_of(value);
        } else if (const auto* const option = find_option("alert." + name); option != nullptr && option->of_rule) {
            set_option(scratch, *option, name, value);
        } else {
            mistake(
                key.Mark(), fmt::format("unknown key {} in a rule", name),
                "name, codes, window, for, threshold-percent, min-rate, severity, labels and annotations are known");
        }
    }

    std::string path_;
    FileSettings& into_;
};

}  // namespace

FileSettings read_settings_file(const std::string& path) {
    FileSettings file;
    const auto text = read_named_file(path);
    if (!text) {
        file.errors.push_back(text.error());
        file.errors.back().hint = "name another --config.file, or none: everything has a default";
        return file;
    }
    try {
        const auto root = YAML::Load(*text);
        if (root.IsMap()) {
            FileReader(path, file).read_map(root, "");
        } else if (!root.IsNull()) {
            file.errors.push_back(file_error(path, root.Mark(), "a settings file is a map of keys to values"));
        }
    } catch (const YAML::Exception& error) {
        file.errors.push_back(file_error(path, error.mark, error.msg));
    }
    return file;
}

}  // namespace upstat::config
