// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace upstat::programs {

/// Walks over the state that the programs keep of each connection. Costs nothing until a walk is read.
class SocketIterator {
  public:
    /// Loads the program that shows a connection. Errors: host if the kernel has no such iterators, or says nothing of
    /// its own types.
    static Result<SocketIterator> load(int sockets_map);

    /// One walk, to be read once, with no privilege: `upstat_socket`s of bpf/layout.h, one behind the other.
    [[nodiscard]] Result<Fd> walk() const;

  private:
    explicit SocketIterator(Fd link) : link_(std::move(link)) {}

    Fd link_;
};

}  // namespace upstat::programs
