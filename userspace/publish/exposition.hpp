// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attribute/counts.hpp"
#include "publish/report.hpp"

namespace upstat::publish {

inline constexpr std::string_view exposition_content_type = "text/plain; version=0.0.4; charset=utf-8";

/// One line of traefik_backend_requests_total, but for the backend.
struct ShownSample {
    attribute::Series series;
    std::uint64_t value = 0;
};

/// Lets each series of traefik_backend_requests_total begin at 0. rate() cannot see the increase of a series whose
/// first sample is 5, so a series is shown at 0 until one page that showed it so has been delivered.
class ZeroStart {
  public:
    /// These were shown before a restart: they are born.
    void restore(const attribute::Counts& counts);

    /// Begins a page and returns its number: 1, 2, ...
    std::uint64_t next_page() { return ++page_; }

    /// Sets to 0 what is not born yet. `samples` are all of this backend on this page, in the order of their series.
    void show(const std::string& backend, std::span<ShownSample> samples);

    /// This page was delivered to a scraper or a Pushgateway: what it showed at 0 is born.
    void served(std::uint64_t page);

  private:
    /// One series and the first page of an unbroken row that showed it at 0; 0 once it is born.
    struct Entry {
        attribute::Series series;
        std::uint64_t since = 0;
    };
    struct Shown {
        std::vector<Entry> entries;  ///< in the order of their series
        std::uint64_t last_page = 0;
    };
    std::uint64_t page_ = 0;
    std::map<std::string, Shown> backends_;
    std::vector<Entry> next_;  ///< kept for its memory
};

/// One page: what it shows is settled, its text is written when somebody asks for it.
struct Page {
    std::uint64_t number = 0;  ///< for Births::served
    std::shared_ptr<const Report> report = std::make_shared<const Report>();
    std::vector<ShownSample> requests{};      ///< of all backends, one after another
    std::vector<std::size_t> requests_end{};  ///< by backend, in the order of the report's
};

/// The page of a report. `births` remembers what it shows.
Page render(std::shared_ptr<const Report> report, ZeroStart& zero_start);

/// Takes a page's text piece by piece; false when it wants no more.
using Sink = std::function<bool(std::string_view piece)>;

/// The Prometheus text format 0.0.4 of the whole page. False when the sink wanted no more.
bool write_page(const Page& page, const Sink& sink);
std::string page_text(const Page& page);

/// What a Pushgateway gets: the page without the process_* of this process, which the gateway has of its own.
std::string pushed_text(const Page& page);

}  // namespace upstat::publish
