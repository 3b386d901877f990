// SPDX-License-Identifier: Apache-2.0
// Snapshots and catalogues of a few servers, and random lives of them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>

#include "attribute/catalogue.hpp"
#include "poll/snapshot.hpp"

namespace upstat::attribute {

inline constexpr poll::ResponseKey ok{.code = 200, .method = poll::Method::get};

inline Time at(std::int64_t seconds) {
    return Time(std::chrono::seconds(seconds));
}

inline poll::Server server(std::uint16_t number) {
    return poll::parse_server("10.0.0.1", number).value();
}

inline poll::ServerTotals answered(poll::ResponseCounts responses) {
    poll::ServerTotals totals{.requests = 0,
                              .connects = 0,
                              .responses = std::move(responses),
                              .unanswered = {},
                              .unread = {},
                              .connect_failures = {}};
    totals.requests = totals.response_sum();
    return totals;
}

inline poll::ServerTotals answered(std::uint64_t count) {
    return answered({{ok, count}});
}

inline poll::Snapshot poll(std::int64_t seconds, poll::Servers servers) {
    poll::Snapshot snapshot;
    snapshot.at = at(seconds);
    snapshot.servers = std::move(servers);
    return snapshot;
}

/// backend -> its servers; and those of TCP services
inline SharedCatalogue listing(const std::map<std::string, std::set<std::uint16_t>>& backends,
                               const std::set<std::uint16_t>& streams = {}) {
    Catalogue catalogue;
    for (const auto& [name, servers] : backends) {
        auto& backend = catalogue.backends[name];
        for (const auto number : servers) {
            const auto text = to_string(server(number));
            backend.listed.push_back({.url = "http://" + text, .up = true, .servers = {server(number)}});
        }
    }
    for (const auto number : streams) {
        catalogue.streams.push_back(
            {.url = "tcp://" + to_string(server(number)), .up = true, .servers = {server(number)}});
    }
    return std::make_shared<const Catalogue>(std::move(catalogue));
}

/// Random totals that grow, of servers that come, move between backends and go.
class Life {
  public:
    explicit Life(std::uint32_t seed) : random_(seed) {}

    void step() {
        seconds_ += pick(1, 30);
        for (int events = pick(0, 12); events > 0; --events) {
            auto& totals = totals_[server(static_cast<std::uint16_t>(pick(1, 14)))];
            const poll::ResponseKey response{.code = static_cast<std::uint16_t>(pick(0, 1) == 0 ? 200 : pick(400, 404)),
                                             .method = static_cast<poll::Method>(pick(0, 9))};
            const auto count = static_cast<std::uint64_t>(pick(1, 50));
            totals.responses[response] += count;
            totals.requests += count + (pick(0, 3) == 0 ? 1 : 0);
            totals.connects += 1;
            if (totals.outstanding() > 0 && pick(0, 1) == 0) {
                ++totals.unanswered["reset"];
            }
        }
        if (pick(0, 2) == 0) {
            relist();
        }
    }

    [[nodiscard]] poll::Snapshot snapshot() const { return poll(seconds_, totals_); }
    [[nodiscard]] const SharedCatalogue& catalogue() const { return catalogue_; }
    [[nodiscard]] const std::set<poll::Server>& ever_listed() const { return ever_listed_; }

    int pick(int low, int high) { return std::uniform_int_distribution(low, high)(random_); }

  private:
    /// A partition: each server has at most one backend; the last two are at times those of TCP services.
    void relist() {
        std::map<std::string, std::set<std::uint16_t>> backends{{"a", {}}, {"b", {}}, {"c", {}}};
        for (std::uint16_t number = 1; number <= 12; ++number) {
            const auto owner = std::string(1, static_cast<char>('a' + pick(0, 5)));
            if (backends.contains(owner)) {
                backends[owner].insert(number);
                ever_listed_.insert(server(number));
            }
        }
        std::set<std::uint16_t> streams;
        for (const std::uint16_t number : {13, 14}) {
            if (pick(0, 1) == 0) {
                streams.insert(number);
            }
        }
        catalogue_ = listing(backends, streams);
    }

    std::mt19937 random_;
    std::int64_t seconds_ = 1000;
    poll::Servers totals_;
    SharedCatalogue catalogue_ = listing({{"a", {}}, {"b", {}}, {"c", {}}});
    std::set<poll::Server> ever_listed_;
};

}  // namespace upstat::attribute
