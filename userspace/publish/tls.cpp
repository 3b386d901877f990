// SPDX-License-Identifier: Apache-2.0
#include "publish/tls.hpp"

#include <fmt/format.h>
#include <gnutls/x509.h>
#include <sys/socket.h>

#include <algorithm>

namespace upstat::publish {

namespace {

gnutls_datum_t datum(const std::string& text) {
    return {.data = reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())),
            .size = static_cast<unsigned int>(text.size())};
}

std::unexpected<Error> refused(const char* what, int code) {
    return fail(Error::Kind::usage, fmt::format("{}: {}", what, gnutls_strerror(code)));
}

std::string priorities(int least, int most) {
    std::string text = "NORMAL:-VERS-ALL:%SERVER_PRECEDENCE";
    for (int version = most; version >= least; --version) {
        text += fmt::format(":+VERS-TLS{}.{}", version / 10, version % 10);
    }
    return text;
}

bool verifies(ClientAuth auth) {
    return auth == ClientAuth::verify_if_given || auth == ClientAuth::require_and_verify;
}

gnutls_certificate_request_t request_of(ClientAuth auth) {
    switch (auth) {
        case ClientAuth::none:
            return GNUTLS_CERT_IGNORE;
        case ClientAuth::request:
        case ClientAuth::verify_if_given:
            return GNUTLS_CERT_REQUEST;
        case ClientAuth::require_any:
        case ClientAuth::require_and_verify:
            return GNUTLS_CERT_REQUIRE;
    }
    return GNUTLS_CERT_REQUIRE;
}

/// 0 lets the handshake go on. As with Go, a certificate that is made for servers is none of a client. Whether there
/// has to be one is the request's matter.
int verify(gnutls_session_t session) {
    unsigned int count = 0;
    if (gnutls_certificate_get_peers(session, &count) == nullptr) {
        return 0;
    }
    gnutls_typed_vdata_st purpose{
        .type = GNUTLS_DT_KEY_PURPOSE_OID,
        .data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(GNUTLS_KP_TLS_WWW_CLIENT)),
        .size = 0};
    unsigned int status = 0;
    return gnutls_certificate_verify_peers(session, &purpose, 1, &status) < 0 || status != 0 ? -1 : 0;
}

thread_local std::uint64_t moved_bytes = 0;

ssize_t count(ssize_t bytes) {
    moved_bytes += static_cast<std::uint64_t>(std::max<ssize_t>(bytes, 0));
    return bytes;
}

/// What libmicrohttpd gives its sessions as their transport is the socket's number.
int socket_of(gnutls_transport_ptr_t transport) {
    return static_cast<int>(reinterpret_cast<std::intptr_t>(transport));
}

ssize_t take_bytes(gnutls_transport_ptr_t transport, void* to, std::size_t size) {
    return count(recv(socket_of(transport), to, size, 0));
}

ssize_t send_bytes(gnutls_transport_ptr_t transport, const void* from, std::size_t size) {
    return count(send(socket_of(transport), from, size, MSG_NOSIGNAL));
}

}  // namespace

std::uint64_t Tls::moved() {
    return moved_bytes;
}

Result<std::shared_ptr<const Tls>> Tls::make(const TlsOptions& options) {
    std::shared_ptr<Tls> tls(new Tls);
    if (auto filled = tls->fill(options); !filled) {
        return std::unexpected(filled.error());
    }
    return tls;
}

Tls::~Tls() {
    if (priorities_ != nullptr) {
        gnutls_priority_deinit(priorities_);
    }
    if (credentials_ != nullptr) {
        gnutls_certificate_free_credentials(credentials_);
    }
}

Result<void> Tls::fill(const TlsOptions& options) {
    client_auth_ = options.client_auth;
    if (const int code = gnutls_certificate_allocate_credentials(&credentials_); code < 0) {
        return refused("TLS cannot begin", code);
    }
    const auto certificate = datum(options.certificate);
    const auto key = datum(options.key);
    if (const int code = gnutls_certificate_set_x509_key_mem(credentials_, &certificate, &key, GNUTLS_X509_FMT_PEM);
        code < 0) {
        return refused("the certificate and its key cannot be used together", code);
    }
    const auto ca = datum(options.client_ca);
    if (const int code = options.client_ca.empty()
                             ? 1
                             : gnutls_certificate_set_x509_trust_mem(credentials_, &ca, GNUTLS_X509_FMT_PEM);
        code <= 0) {
        return refused("no certificate authority of clients can be read", code);
    }
    const auto text = priorities(options.min_version, options.max_version);
    if (const int code = gnutls_priority_init(&priorities_, text.c_str(), nullptr); code < 0) {
        return refused("these versions of TLS cannot be served", code);
    }
    return {};
}

void Tls::begin(gnutls_session_t session) const {
    gnutls_priority_set(session, priorities_);
    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials_);
    gnutls_certificate_server_set_request(session, request_of(client_auth_));
    gnutls_transport_set_pull_function(session, take_bytes);
    gnutls_transport_set_push_function(session, send_bytes);
    if (verifies(client_auth_)) {
        gnutls_session_set_verify_function(session, verify);
    }
}

}  // namespace upstat::publish
