// SPDX-License-Identifier: Apache-2.0
#include "programs/socket_iterator.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <spdlog/fmt/fmt.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "sockets.skel.h"

namespace upstat::programs {

namespace {

struct DestroySockets {
    void operator()(sockets_bpf* skeleton) const { sockets_bpf__destroy(skeleton); }
};

std::unexpected<Error> no_iterator(int error) {
    return fail(
        Error::Kind::host, fmt::format("this kernel does not show its sockets ({})", std::strerror(error)),
        "counting does not need it; it takes CONFIG_DEBUG_INFO_BTF, and /sys/kernel/btf/vmlinux to be readable");
}

}  // namespace

Result<SocketIterator> SocketIterator::load(int sockets_map) {
    const std::unique_ptr<sockets_bpf, DestroySockets> skeleton(sockets_bpf__open());
    if (skeleton == nullptr) {
        return no_iterator(errno);
    }
    if (const int failed = sockets_bpf__load(skeleton.get()); failed != 0) {
        return no_iterator(-failed);
    }
    bpf_iter_link_info info{};
    info.map.map_fd = static_cast<__u32>(sockets_map);
    bpf_link_create_opts options{};
    options.sz = sizeof options;
    options.iter_info = &info;
    options.iter_info_len = sizeof info;
    Fd link(bpf_link_create(bpf_program__fd(skeleton->progs.upstat_sockets), 0, BPF_TRACE_ITER, &options));
    return link ? Result<SocketIterator>(SocketIterator(std::move(link))) : no_iterator(errno);
}

Result<Fd> SocketIterator::walk() const {
    Fd walk(bpf_iter_create(link_.get()));
    return walk ? Result<Fd>(std::move(walk)) : no_iterator(errno);
}

}  // namespace upstat::programs
