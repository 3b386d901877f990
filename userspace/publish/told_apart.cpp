// SPDX-License-Identifier: Apache-2.0
#include "publish/told_apart.hpp"

#include <fmt/format.h>

#include <iterator>
#include <string_view>
#include <vector>

namespace upstat::publish {

namespace {

constexpr std::string_view of = " of ";

/// The one that is called as was asked, or else the only one that can be meant.
template <typename T>
class Choice {
  public:
    Choice(const ToldApart& names, const Report& report, const std::string& asked, const std::string& traefik)
        : names_(&names), report_(&report), asked_(&asked), traefik_(&traefik) {}

    void offer(const T& one, const std::string& own_name) {
        if (!asked_->starts_with(own_name) || (!traefik_->empty() && *traefik_ != traefik_name(*report_, one.zone))) {
            return;
        }
        if (*asked_ == names_->name(one)) {
            exact_.push_back(one);
        }
        if (*asked_ == own_name) {
            possible_.push_back(one);
        }
    }
    [[nodiscard]] std::optional<T> take() const {
        const auto& found = exact_.empty() ? possible_ : exact_;
        return found.size() == 1 ? std::optional(found.front()) : std::nullopt;
    }

  private:
    const ToldApart* names_;
    const Report* report_;
    const std::string* asked_;
    const std::string* traefik_;
    std::vector<T> exact_;
    std::vector<T> possible_;
};

}  // namespace

ToldApart::ToldApart(const Report& report) : report_(&report) {
    std::set<std::string> labels;
    if (!report.traefik_names.empty()) {
        for (const auto& [server, totals] : report.servers.servers) {
            if (auto label = to_string(server); !labels.insert(label).second) {
                namesakes_.insert(std::move(label));
            }
        }
    }
}

/// Names that look as if they were told apart are told apart, too: a Traefik chooses its backends' names.
std::string ToldApart::told(const std::string& name, std::uint16_t zone, bool has_namesake) const {
    const auto traefik = traefik_name(*report_, zone);
    const bool say = !traefik.empty() && (has_namesake || name.contains(of));
    return say ? fmt::format("{}{}{}", name, of, traefik) : name;
}

std::string ToldApart::name(const attribute::BackendName& backend) const {
    const auto& all = report_->counts.backends;
    const auto first = all.lower_bound({backend.name, 0});  // namesakes are neighbours
    const bool has_namesake = first != all.end() && std::next(first) != all.end() &&
                              first->first.name == backend.name && std::next(first)->first.name == backend.name;
    return told(backend.name, backend.zone, has_namesake);
}

std::string ToldApart::name(const poll::Server& server) const {
    const auto label = to_string(server);
    return told(label, server.zone, namesakes_.contains(label));
}

std::optional<attribute::BackendName> ToldApart::asked_backend(const Query& query) const {
    Choice<attribute::BackendName> choice(*this, *report_, query.backend, query.traefik);
    for (const auto& [backend, counts] : report_->counts.backends) {
        choice.offer(backend, backend.name);
    }
    return choice.take();
}

std::optional<poll::Server> ToldApart::asked_server(const Query& query) const {
    const auto plain = poll::server_of_label(query.server);  // of any spelling
    const auto asked = plain ? to_string(*plain) : query.server;
    Choice<poll::Server> choice(*this, *report_, asked, query.traefik);
    for (const auto& subject : *report_->history.subjects) {
        if (!subject.is_backend && asked.starts_with(subject.name)) {
            if (const auto server = history::server_of(subject)) {
                choice.offer(*server, subject.name);
            }
        }
    }
    return choice.take();
}

}  // namespace upstat::publish
