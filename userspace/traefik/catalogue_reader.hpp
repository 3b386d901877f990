// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "traefik/rawdata.hpp"

namespace upstat::traefik {

/// Enough to tell whether a response is the same again, without keeping it: its size and a hash.
using BodyMark = std::pair<std::size_t, std::size_t>;

/// A response of a Traefik's API that is to be read.
struct Unread {
    enum class Kind : std::uint8_t { rawdata, providers, version };

    std::uint64_t ticket = 0;  ///< that what it says will carry
    Kind kind = Kind::rawdata;
    std::string url{};  ///< what was asked
    std::string body{};
    std::optional<BodyMark> known{};  ///< of the body that was read last: the same one is not read again
};

/// What became of it.
struct Read {
    std::uint64_t ticket = 0;
    BodyMark mark{};
    std::optional<Result<ReadCatalogue>> catalogue{};  ///< nothing: the body is known, or it is no catalogue's
    std::string version{};                             ///< of Kind::version; empty where it tells none
};

Read read_response(const Unread& response);

/// Reads responses, one after another, while its owner does other things.
class CatalogueReader {
  public:
    CatalogueReader() = default;
    CatalogueReader(const CatalogueReader&) = delete;
    CatalogueReader& operator=(const CatalogueReader&) = delete;
    virtual ~CatalogueReader() = default;

    /// False where too much waits to be read; ask again later.
    virtual bool start(Unread response) = 0;
    /// Readable when take() has something.
    [[nodiscard]] virtual int fd() const = 0;
    virtual std::vector<Read> take() = 0;
};

/// On a thread of its own, without privileges and behind the loop in line for a processor. What waits there takes 128
/// MB at most.
class CatalogueThread : public CatalogueReader {
  public:
    CatalogueThread();
    ~CatalogueThread() override;

    bool start(Unread response) override;
    [[nodiscard]] int fd() const override;
    std::vector<Read> take() override;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace upstat::traefik
