// SPDX-License-Identifier: Apache-2.0
#include "publish/passwords.hpp"

#include <crypt.h>
#include <gnutls/crypto.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <memory>
#include <string_view>
#include <utility>

namespace upstat::publish {

namespace {

/// Takes as long as the hash's cost says.
bool is_password(const std::string& password, const std::string& hash) {
    const auto room = std::make_unique<crypt_data>();
    const char* const made = crypt_r(password.c_str(), hash.c_str(), room.get());
    return made != nullptr && hash.size() == std::string_view(made).size() &&
           gnutls_memcmp(made, hash.data(), hash.size()) == 0;
}

}  // namespace

Passwords::Passwords() : wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Passwords::~Passwords() = default;

Passwords::Digest Passwords::digest_of(const Claim& claim) {
    std::string text = claim.user_known ? "known " : "unknown ";
    for (const auto& part : {claim.user, claim.hash, claim.password}) {
        text += std::to_string(part.size()) + ":" + part;
    }
    Digest digest{};
    gnutls_hash_fast(GNUTLS_DIG_SHA256, text.data(), text.size(), digest.data());
    return digest;
}

void Passwords::Memory::add(const Digest& digest) {
    if (!known_.try_emplace(digest, true).second) {
        return;
    }
    order_.push_back(digest);
    if (order_.size() > size_) {
        known_.erase(order_.front());
        order_.pop_front();
    }
}

std::optional<bool> Passwords::remembered_locked(const Digest& digest) const {
    if (good_.has(digest)) {
        return true;
    }
    return bad_.has(digest) ? std::optional(false) : std::nullopt;
}

std::optional<bool> Passwords::remembered(const Claim& claim) const {
    const auto digest = digest_of(claim);
    const std::lock_guard lock(mutex_);
    return remembered_locked(digest);
}

bool Passwords::check(std::uint64_t ticket, Claim claim) {
    const std::lock_guard lock(mutex_);
    const auto found = waiting_.find(claim.client);
    if (count_ >= most || (found != waiting_.end() && found->second.size() >= most_of_a_client)) {
        return false;
    }
    auto& of_client = waiting_[claim.client];
    of_client.push_back({.ticket = ticket, .claim = std::move(claim)});
    ++count_;
    if (!thread_.joinable()) {
        thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
    }
    there_is_work_.notify_one();
    return true;
}

std::vector<Passwords::Verdict> Passwords::take() {
    eventfd_t count = 0;
    eventfd_read(wake_.get(), &count);
    const std::lock_guard lock(mutex_);
    return std::exchange(verdicts_, {});
}

std::uint64_t Passwords::computed() const {
    const std::lock_guard lock(mutex_);
    return computed_;
}

/// The oldest one of the client whose turn it is.
Passwords::Job Passwords::next_locked() {
    auto turn = waiting_.upper_bound(last_client_);
    turn = turn == waiting_.end() ? waiting_.begin() : turn;
    last_client_ = turn->first;
    auto job = std::move(turn->second.front());
    turn->second.pop_front();
    if (turn->second.empty()) {
        waiting_.erase(turn);
    }
    --count_;
    return job;
}

void Passwords::work(const std::stop_token& stop) {
    pthread_setname_np(pthread_self(), "passwords");
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 19);  // of this thread: counting and scrapes go first
    std::unique_lock lock(mutex_);
    while (there_is_work_.wait(lock, stop, [this] { return count_ > 0; }) && !stop.stop_requested()) {
        const auto job = next_locked();
        const auto digest = digest_of(job.claim);
        auto good = remembered_locked(digest);  // by another that waited with it
        if (!good) {
            lock.unlock();
            good = is_password(job.claim.password, job.claim.hash) && job.claim.user_known;
            lock.lock();
            ++computed_;
            (*good ? good_ : bad_).add(digest);
        }
        verdicts_.push_back({.ticket = job.ticket, .good = *good});
        eventfd_write(wake_.get(), 1);
    }
}

}  // namespace upstat::publish
