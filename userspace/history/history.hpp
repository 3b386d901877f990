// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "attribute/counts.hpp"
#include "base/flat_map.hpp"
#include "base/time.hpp"
#include "history/column.hpp"
#include "history/event.hpp"
#include "history/fields.hpp"
#include "poll/snapshot.hpp"

namespace upstat::history {

/// What has a history: a backend by its name, or a server by its label.
struct Subject {
    bool is_backend = false;
    std::string name;
    std::uint16_t zone = 0;  ///< the number of its Traefik

    auto operator<=>(const Subject&) const = default;
};
using Subjects = std::vector<Subject>;  ///< by the number that columns know them by

/// Nothing for a backend.
std::optional<poll::Server> server_of(const Subject& subject);

/// All that is remembered, as it is at one moment: other threads may read it for as long as they like.
struct View {
    Moment at{};  ///< the newest poll
    std::shared_ptr<const Subjects> subjects = std::make_shared<const Subjects>();
    std::vector<SharedColumn> columns;  ///< one after the other, the newest last
    std::shared_ptr<const std::vector<Event>> events = std::make_shared<const std::vector<Event>>();  ///< newest last
};

/// How much of the past is kept, and how finely.
struct Bounds {
    Millis polls = std::chrono::minutes(10);  ///< older ones become minutes
    Millis minutes = std::chrono::hours(3);   ///< older ones become tens of minutes
    Millis all = std::chrono::hours(24);
    std::size_t most_polls = 240;  ///< where they come faster than every 5 s, fewer minutes of them are kept
    std::size_t most_events = 1000;
    std::size_t most_subjects = 65536;  ///< what comes later has no history
};

/// A day of counts of each backend and each server, at falling resolution. Columns are made once and then shared with
/// whoever reads them; nothing is counted twice or lost where finer ones become coarser, nor over a gap between polls.
class History {
  public:
    explicit History(Bounds bounds = {}) : bounds_(bounds) {}

    /// Takes in what has grown since the last call. The first call only says where the counts stand. Of backends, also
    /// those that no catalogue lists any more: one that comes back has not grown meanwhile.
    void add(Moment at, const std::map<attribute::BackendName, attribute::SeriesCounts>& backends,
             const poll::Servers& servers);

    /// Only these backends are remembered: any other counts from 0 when it comes back.
    void keep(const std::map<attribute::BackendName, attribute::SeriesCounts>& remembered);

    /// The kernel's maps were made anew: servers count from 0.
    void maps_made_anew();

    void note(Event event);
    void note(std::vector<Event> events);

    [[nodiscard]] View view() const;

    /// Events so far, also those that are forgotten.
    [[nodiscard]] std::uint64_t noted() const { return noted_; }

    /// What is saved and restored.
    struct Saved {
        std::optional<Time> last;  ///< when the totals stood so; without it the next add() says where they stand
        Subjects subjects;
        std::vector<SharedColumn> columns;
        std::vector<Event> events;
        std::vector<Amounts> totals;  ///< by the subjects' numbers
    };
    [[nodiscard]] Saved saved() const;
    static History restore(Saved saved, Bounds bounds = {});

  private:
    /// A subject without a number came when there was no room for one.
    struct Known {
        std::optional<std::uint32_t> number;
        Amounts totals{};
    };
    class Numbering;
    void fold(Time now);

    Bounds bounds_;
    std::optional<Moment> last_;
    bool resumed_ = false;  ///< restored, and nothing added since: of what is not known the totals tell no growth
    std::shared_ptr<const Subjects> subjects_ = std::make_shared<const Subjects>();
    std::map<attribute::BackendName, Known> backends_;
    FlatMap<poll::Server, Known> servers_;
    std::deque<SharedColumn> polls_;
    std::deque<SharedColumn> minutes_;
    std::deque<SharedColumn> tens_;
    std::shared_ptr<const std::vector<Event>> events_ = std::make_shared<const std::vector<Event>>();
    std::uint64_t noted_ = 0;
};

}  // namespace upstat::history
