// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/http_client.hpp"
#include "base/time.hpp"
#include "judge/alert.hpp"
#include "publish/receiver.hpp"

namespace upstat::publish {

struct NotifierOptions {
    std::vector<Url> urls;  ///< of the Alertmanagers; each may hold a path, a name and a password
    std::vector<judge::Rule> rules;
    std::string instance;       ///< the `instance` label, where a rule's labels take none away
    std::string generator_url;  ///< where the agent's pages are; may be empty
    Millis evaluation = std::chrono::seconds(5);
    Millis resend = std::chrono::minutes(1);
    Millis timeout = std::chrono::seconds(10);
    HttpFiles files;         ///< by which all of them are known, and know us
    std::uint64_t seed = 1;  ///< of the random part of the waits after a failure
};

/// One POST to one Alertmanager.
struct Notification {
    std::size_t receiver = 0;
    HttpRequest request;
};

/// Decides which alerts go to which Alertmanager, and when: at once when one fires or resolves, then every
/// resend interval, until 15 minutes after it resolved. It reads no clock and sends nothing.
/// At most one POST is under way to each receiver. After a failure the next one waits (Backoff) and then says how all
/// alerts stand by then: what changed meanwhile goes with it.
class Notifier {
  public:
    /// An error of kind usage for an URL that no path goes behind.
    static Result<Notifier> make(NotifierOptions options);

    /// What to start now; call it once after each evaluation, a failed one too (with the alerts as they stood).
    std::vector<Notification> due(const judge::Alerts& alerts, Moment now);

    /// The notification was started under this ticket of the HttpClient.
    void started(std::size_t receiver, std::uint64_t ticket);

    /// Takes the end of a POST. nullopt: not ours.
    std::optional<Tried> done(const HttpDone& done, Time now);

    /// Of each receiver, by its URL without name and password.
    [[nodiscard]] std::map<std::string, Results> results() const;

    /// Takes the place of `previous`: the receivers of both are tried and counted on as they were.
    void succeed(const Notifier& previous);

  private:
    /// A rule and a backend.
    using Key = std::pair<std::string, attribute::BackendName>;

    /// What a receiver was told about one alert.
    struct Told {
        judge::State state = judge::State::inactive;
        std::optional<Moment> since;  ///< when it fired or resolved: which firing this is about
        std::string traefik;          ///< the label: a second Traefik on the host gives it to the alerts of the first
        std::set<std::string> stale;  ///< labels under which it was told before, and has not been ended there yet
        Time attempted;
        bool delivered = false;
    };
    struct Receiver {
        std::string url;  ///< of its alerts
        Tries tries;
        bool busy = false;
        std::optional<std::uint64_t> ticket;
        std::vector<Key> sent;  ///< by the POST under way
        std::map<Key, Told> told;
    };

    explicit Notifier(NotifierOptions options) : options_(std::move(options)) {}
    [[nodiscard]] std::optional<Told> news(const judge::Alert& alert, Time now) const;
    bool choose(Receiver& receiver, const judge::Alert& alert, Time now) const;
    [[nodiscard]] std::string body(const std::vector<judge::Alert>& alerts, Wall now) const;
    void remember(const judge::Alerts& alerts);

    NotifierOptions options_;
    std::vector<Receiver> receivers_;
    std::map<Key, Moment> fired_;  ///< when each alert fired, kept for its resolve
};

}  // namespace upstat::publish
