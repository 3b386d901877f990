// SPDX-License-Identifier: Apache-2.0
// Any bytes as the executable of a process that is to be probed: no crash, nothing read beyond them, and an end.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "base/fd.hpp"
#include "base/regular_file.hpp"
#include "symbols/probe_site.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    static const upstat::Fd file(memfd_create("program", MFD_CLOEXEC));
    if (ftruncate(file.get(), 0) != 0 || pwrite(file.get(), bytes, size, 0) != static_cast<ssize_t>(size)) {
        std::abort();
    }
    const auto found = upstat::symbols::find_probe_site(file);
    if (found && (found->offset >= size || bytes[found->offset] != 0x55)) {
        std::abort();  // it would be attached to what is no push %rbp
    }
    return 0;
}
