// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace upstat {

/// How often something was tried, by result.
struct Results {
    std::uint64_t success = 0;
    std::uint64_t failure = 0;
    std::string last_error{};  ///< of the last try; empty when that one went well

    /// Counts one try; `error` is empty when it went well.
    void count(std::string error) {
        ++(error.empty() ? success : failure);
        last_error = std::move(error);
    }

    Results& operator+=(const Results& other) {
        success += other.success;
        failure += other.failure;
        last_error = other.last_error.empty() ? last_error : other.last_error;
        return *this;
    }
};

}  // namespace upstat
