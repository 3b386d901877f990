// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gnutls/gnutls.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/error.hpp"

namespace upstat::publish {

/// What the web server asks of its clients' certificates; the names are those of Go's crypto/tls.
enum class ClientAuth : std::uint8_t { none, request, require_any, verify_if_given, require_and_verify };

struct TlsOptions {
    std::string certificate;  ///< PEM, the chain behind it
    std::string key;          ///< PEM
    std::string client_ca;    ///< PEM; empty: none
    ClientAuth client_auth = ClientAuth::none;
    int min_version = 12;  ///< 10 to 13: TLS 1.0 to 1.3
    int max_version = 13;
};

/// What a TLS session of the web server begins with. It must outlive the sessions.
class Tls {
  public:
    /// An error of kind usage where GnuTLS cannot make sense of the options.
    static Result<std::shared_ptr<const Tls>> make(const TlsOptions& options);

    Tls(const Tls&) = delete;
    Tls& operator=(const Tls&) = delete;
    ~Tls();

    /// Before the session's handshake, on the thread that will work on it.
    void begin(gnutls_session_t session) const;

    /// Grows with each byte that a session of this thread has sent or taken.
    static std::uint64_t moved();

  private:
    Tls() = default;
    Result<void> fill(const TlsOptions& options);

    gnutls_certificate_credentials_t credentials_ = nullptr;
    gnutls_priority_t priorities_ = nullptr;
    ClientAuth client_auth_ = ClientAuth::none;
};

}  // namespace upstat::publish
