// SPDX-License-Identifier: Apache-2.0
#include "publish/births.hpp"

#include <algorithm>
#include <utility>

namespace upstat::publish {

namespace {

bool is_there_from_the_start(const attribute::Series& series) {
    return series.method == poll::Method::get && std::ranges::binary_search(usual_codes, series.code);
}

/// Calls `take(key)` for each key that is new. Keys only come, so equal numbers of them are the same keys.
void each_new(const auto& now, const auto& before, auto&& take) {
    if (now.size() == before.size()) {
        return;
    }
    Ascending known(before);
    for (const auto& [key, count] : now) {
        if (known.find(key) == nullptr) {
            take(key);
        }
    }
}

void hide(auto& counts, const auto& births, Time moment) {
    Ascending shown(counts);
    for (const auto& [key, born] : births) {
        if (auto* const count = born > moment ? shown.find(key) : nullptr) {
            *count = 0;
        }
    }
}

void hide_all(auto& counts) {
    for (auto& [key, count] : counts) {
        count = 0;
    }
}

bool has_new(const poll::ServerTotals& now, const poll::ServerTotals& before) {
    return now.responses.size() != before.responses.size() ||
           std::ranges::any_of(poll::reason_counts, [&](const poll::ReasonCount& count) {
               return (now.*count.member).size() != (before.*count.member).size();
           });
}

void note_new(YoungServer& young, const poll::ServerTotals& now, const poll::ServerTotals& before, Time moment) {
    each_new(now.responses, before.responses, [&](const auto& key) { young.responses[key] = moment; });
    auto reasons = young.reasons.begin();
    for (const auto& count : poll::reason_counts) {
        each_new(now.*count.member, before.*count.member, [&](const auto& reason) { (*reasons)[reason] = moment; });
        ++reasons;
    }
}

void note_new(std::map<attribute::BackendName, YoungBackend>& young, const attribute::BackendName& backend,
              const attribute::SeriesCounts& now, const attribute::SeriesCounts& before, Time moment) {
    each_new(now, before, [&](const attribute::Series& series) {
        if (!is_there_from_the_start(series)) {
            young[backend].series[series] = moment;
        }
    });
}

void forget_births(Time& itself, Time born) {
    itself = itself <= born ? Time::min() : itself;
}

template <typename Key>
void forget_births(FlatMap<Key, Time>& births, Time born) {
    erase_if(births, [born](const auto& entry) { return entry.second <= born; });
}

}  // namespace

attribute::SeriesCounts without_young(attribute::SeriesCounts counts, const YoungBackend& young, Time moment) {
    if (young.itself > moment) {
        hide_all(counts);
    }
    hide(counts, young.series, moment);
    return counts;
}

poll::ServerTotals without_young(poll::ServerTotals totals, const YoungServer& young, Time moment) {
    if (young.itself > moment) {
        for (const auto& count : poll::plain_counts) {
            totals.*count.member = 0;
        }
        hide_all(totals.responses);
        for (const auto& count : poll::reason_counts) {
            hide_all(totals.*count.member);
        }
        return totals;
    }
    hide(totals.responses, young.responses, moment);
    auto reasons = young.reasons.begin();
    for (const auto& count : poll::reason_counts) {
        hide(totals.*count.member, *reasons++, moment);
    }
    return totals;
}

void Births::restore(const attribute::LedgerState& shown, bool servers) {
    away_ = shown.backends;
    servers_shown_ = servers;
    Report before;
    before.servers.unmapped = shown.unmapped;
    previous_ = std::make_shared<const Report>(std::move(before));
}

void Births::keep(const std::map<attribute::BackendName, attribute::SeriesCounts>& remembered) {
    std::erase_if(away_, [&remembered](const auto& entry) { return !remembered.contains(entry.first); });
}

std::shared_ptr<const Young> Births::take(std::shared_ptr<const Report> report, Time now, Moments hidden) {
    forget(hidden.pushed);
    compare_backends(report->counts, now, hidden.scraped);
    if (!std::exchange(servers_shown_, false)) {
        compare_servers(*report, now);
    }
    previous_ = std::move(report);
    return std::make_shared<const Young>(young_);
}

void Births::compare_backends(const attribute::Counts& counts, Time now, Time hidden) {
    auto before = previous_->counts.backends.begin();
    const auto end = previous_->counts.backends.end();
    for (const auto& [name, series] : counts.backends) {
        for (; before != end && before->first < name; ++before) {
            leave(before->first, before->second, hidden);
        }
        const auto returned = away_.extract(name);
        const bool stayed = before != end && before->first == name;
        if (!stayed && returned.empty()) {
            young_.backends[name].itself = now;
        } else {
            note_new(young_.backends, name, series, stayed ? before->second : returned.mapped(), now);
        }
        if (stayed) {
            ++before;
        }
    }
    for (; before != end; ++before) {
        leave(before->first, before->second, hidden);
    }
}

/// What was at 0 when its backend left begins again: who reads may have missed it. What has shown its count does not:
/// who has seen that would count it twice.
void Births::leave(const attribute::BackendName& backend, attribute::SeriesCounts series, Time hidden) {
    const auto young = young_.backends.extract(backend);
    if (!young.empty()) {
        if (young.mapped().itself > hidden) {
            return;
        }
        erase_if(series, [&](const auto& entry) {
            const auto born = young.mapped().series.find(entry.first);
            return born != young.mapped().series.end() && born->second > hidden;
        });
    }
    away_.insert_or_assign(backend, std::move(series));
}

void Births::compare_servers(const Report& report, Time now) {
    const auto compare = [&](auto&& series, const poll::ServerTotals& totals, const poll::ServerTotals* before) {
        if (before == nullptr) {
            young_.servers[series()].itself = now;
        } else if (has_new(totals, *before)) {
            note_new(young_.servers[series()], totals, *before, now);
        }
    };
    Ascending before(previous_->servers.servers);
    for (const auto& [server, totals] : report.servers.servers) {
        compare([&server] { return series_of(server); }, totals, before.find(server));
    }
    const auto compare_sum = [&compare](std::string_view label, const poll::ServerTotals& totals,
                                        const poll::ServerTotals& last) {
        const poll::ServerTotals nothing;
        if (totals != nothing) {
            compare([label] { return ServerSeries{.label = std::string(label), .zone = {}}; }, totals,
                    last == nothing ? nullptr : &last);
        }
    };
    compare_sum(unmapped_label, report.servers.unmapped, previous_->servers.unmapped);
    compare_sum(overflow_label, report.overflow, previous_->overflow);
}

void Births::forget(Time born) {
    for (auto& [backend, young] : young_.backends) {
        forget_births(young.itself, born);
        forget_births(young.series, born);
    }
    for (auto& [server, young] : young_.servers) {
        forget_births(young.itself, born);
        forget_births(young.responses, born);
        std::ranges::for_each(young.reasons, [born](auto& births) { forget_births(births, born); });
    }
    std::erase_if(young_.backends, [](const auto& entry) { return entry.second == YoungBackend{}; });
    std::erase_if(young_.servers, [](const auto& entry) { return entry.second == YoungServer{}; });
}

}  // namespace upstat::publish
