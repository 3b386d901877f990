// SPDX-License-Identifier: Apache-2.0
#include "attribute/kubernetes.hpp"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>
#include <utility>

namespace upstat::attribute {

namespace {

/// Those that every cluster has.
const std::set<std::string> usual_namespaces{"default", "kube-system", "kube-public", "kube-node-lease"};

/// A name without its provider, and whether its last part is a hash of a rule.
struct JoinedName {
    std::string_view text;
    std::string_view last;
    bool is_hashed = false;
};

bool is_hash(std::string_view text) {
    constexpr std::size_t digits = 20;
    return text.size() == digits && std::ranges::all_of(text, [](unsigned char c) { return std::isxdigit(c) != 0; });
}

std::optional<JoinedName> taken_apart(std::string_view backend, std::string_view provider) {
    if (provider != "kubernetes" && provider != "kubernetescrd") {
        return std::nullopt;
    }
    const auto name = backend.substr(0, backend.rfind('@'));
    const auto dash = name.rfind('-');
    if (dash == std::string_view::npos || dash == 0) {
        return std::nullopt;
    }
    const auto last = name.substr(dash + 1);
    return JoinedName{
        .text = name.substr(0, dash), .last = last, .is_hashed = provider == "kubernetescrd" && is_hash(last)};
}

/// A port's number. One that has a name may have dashes in it.
bool is_port(std::string_view text) {
    return !text.empty() && text.size() <= 5 &&
           std::ranges::all_of(text, [](unsigned char c) { return std::isdigit(c) != 0; });
}

std::string_view namespace_of(std::string_view text, const std::set<std::string>& namespaces) {
    std::string_view found;
    for (const auto* const known : {&usual_namespaces, &namespaces}) {
        for (const auto& one : *known) {
            if (one.size() > found.size() && one.size() + 1 < text.size() && text.starts_with(one) &&
                text[one.size()] == '-') {
                found = text.substr(0, one.size());
            }
        }
    }
    return found.empty() && std::ranges::count(text, '-') == 1 ? text.substr(0, text.find('-')) : found;
}

}  // namespace

std::set<std::string> plain_namespaces(const Catalogue& catalogue) {
    std::set<std::string> namespaces;
    for (const auto& [name, backend] : catalogue.backends) {
        const auto joined = taken_apart(name.name, backend.provider);
        if (joined && (joined->is_hashed || is_port(joined->last)) && std::ranges::count(joined->text, '-') == 1) {
            namespaces.emplace(joined->text.substr(0, joined->text.find('-')));
        }
    }
    return namespaces;
}

KubernetesName kubernetes_name(const std::string& backend, const std::string& provider,
                               const std::set<std::string>& namespaces) {
    const auto joined = taken_apart(backend, provider);
    if (!joined || (!joined->is_hashed && !is_port(joined->last))) {
        return {};
    }
    KubernetesName name{.name_space = std::string(namespace_of(joined->text, namespaces)), .service = {}, .port = {}};
    if (!joined->is_hashed) {
        name.port = joined->last;
        name.service = name.name_space.empty() ? "" : std::string(joined->text.substr(name.name_space.size() + 1));
    }
    return name;
}

}  // namespace upstat::attribute
