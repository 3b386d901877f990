// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <crypt.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "base/temporary_directory.hpp"

namespace upstat::publish {

/// Makes certificates by openssl, each with its key: NAME.pem and NAME.key, in a directory of its own.
class Certificates {
  public:
    /// Signed by itself, or by another one.
    void make(const std::string& name, const std::string& extra = "", const std::string& signer = "") {
        const auto by = signer.empty() ? "" : fmt::format("-CA {0}.pem -CAkey {0}.key", file(signer));
        const auto command = fmt::format(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN={0} -keyout "
            "{1}.key -out {1}.pem -addext subjectAltName=IP:127.0.0.1 {2} {3} 2>/dev/null",
            name, file(name), extra, by);
        ASSERT_EQ(std::system(command.c_str()), 0) << command;  // NOLINT(concurrency-mt-unsafe)
    }
    [[nodiscard]] std::string file(const std::string& name) const { return (directory_.path() / name).string(); }
    [[nodiscard]] std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(file(name), std::ios::binary) << text;
        return file(name);
    }

  private:
    TemporaryDirectory directory_;
};

/// A bcrypt hash.
inline std::string hash_of(const std::string& password, int cost = 4, const char* prefix = "$2b$") {
    const auto room = std::make_unique<crypt_data>();
    const std::string salt = crypt_gensalt(prefix, static_cast<unsigned long>(cost), nullptr, 0);
    return crypt_r(password.c_str(), salt.c_str(), room.get());
}

}  // namespace upstat::publish
