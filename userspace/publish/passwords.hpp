// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.hpp"

namespace upstat::publish {

/// What a client claims.
struct Claim {
    std::string client;  ///< where it comes from; clients take turns
    std::string user;
    std::string password;
    std::string hash;        ///< bcrypt, of the user's password, or of another's where there is no such user
    bool user_known = true;  ///< else it is checked all the same: how long that takes must not tell
};

/// Checks passwords, which bcrypt makes slow on purpose, on one thread of its own with the least priority. A verdict
/// is remembered, so a scrape whose password was good once never waits. A new one waits for those few that other
/// clients have in front of it: a client that tries a thousand is refused, and stands in nobody's way.
class Passwords {
  public:
    static constexpr std::size_t most_of_a_client = 16;  ///< that wait
    static constexpr std::size_t most = 256;             ///< that wait, of all clients

    Passwords();
    Passwords(const Passwords&) = delete;
    Passwords& operator=(const Passwords&) = delete;
    ~Passwords();

    /// The verdict where it is remembered.
    [[nodiscard]] std::optional<bool> remembered(const Claim& claim) const;

    /// Has it checked. False where too many wait.
    bool check(std::uint64_t ticket, Claim claim);

    struct Verdict {
        std::uint64_t ticket = 0;
        bool good = false;
    };
    /// Readable when take() has something.
    [[nodiscard]] int fd() const { return wake_.get(); }
    std::vector<Verdict> take();

    /// Of bcrypt, so far.
    [[nodiscard]] std::uint64_t computed() const;

  private:
    using Digest = std::array<unsigned char, 32>;

    /// The newest verdicts of one kind.
    class Memory {
      public:
        explicit Memory(std::size_t size) : size_(size) {}
        [[nodiscard]] bool has(const Digest& digest) const { return known_.contains(digest); }
        void add(const Digest& digest);

      private:
        std::size_t size_;
        std::map<Digest, bool> known_;
        std::deque<Digest> order_;
    };
    struct Job {
        std::uint64_t ticket = 0;
        Claim claim;
    };

    static Digest digest_of(const Claim& claim);
    [[nodiscard]] std::optional<bool> remembered_locked(const Digest& digest) const;
    Job next_locked();
    void work(const std::stop_token& stop);

    Fd wake_;
    mutable std::mutex mutex_;
    std::condition_variable_any there_is_work_;
    Memory good_{100};
    Memory bad_{200};                                 ///< apart: wrong ones push out no good one
    std::map<std::string, std::deque<Job>> waiting_;  ///< by client
    std::string last_client_;                         ///< whose turn it was
    std::size_t count_ = 0;                           ///< of those that wait
    std::vector<Verdict> verdicts_;
    std::uint64_t computed_ = 0;
    std::jthread thread_;  ///< once there is something to check
};

}  // namespace upstat::publish
