// SPDX-License-Identifier: Apache-2.0
#include "programs/samples.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <utility>

#include "programs/pins.hpp"
#include "samples.skel.h"

namespace upstat::programs {

namespace {

/// The maps of the programs that count are the generation's.
void share_maps(const bpf_object* object, const Generation& generation) {
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        if (is_pinned(map)) {
            bpf_map__reuse_fd(map, generation.map(bpf_map__name(map)));
            bpf_map__set_pin_path(map, nullptr);
        }
    }
}

}  // namespace

void Samples::Destroy::operator()(samples_bpf* skeleton) const {
    samples_bpf__destroy(skeleton);
}

Result<Samples> Samples::load(const Generation& generation, std::uint32_t kept) {
    Skeleton skeleton(samples_bpf__open());
    if (!skeleton) {
        return std::unexpected(bpf_error(errno, "cannot open the programs that take samples"));
    }
    share_maps(skeleton->obj, generation);
    skeleton->rodata->kept = kept;
    if (const int failed = samples_bpf__load(skeleton.get()); failed != 0) {
        return std::unexpected(bpf_error(-failed, "the kernel refused the programs that take samples"));
    }
    return Samples(std::move(skeleton));
}

Result<void> Samples::attach(int cgroup, std::uint64_t id) {
    if (links_.contains(id)) {
        return {};
    }
    std::vector<Fd> made;
    for (const auto& [program, type] : {std::pair(skeleton_->progs.upstat_sample_egress, BPF_CGROUP_INET_EGRESS),
                                        std::pair(skeleton_->progs.upstat_sample_ingress, BPF_CGROUP_INET_INGRESS)}) {
        Fd link(bpf_link_create(bpf_program__fd(program), cgroup, type, nullptr));
        if (!link) {
            return std::unexpected(bpf_error(errno, "cannot attach the programs that take samples"));
        }
        made.push_back(std::move(link));
    }
    links_.emplace(id, std::move(made));
    return {};
}

void Samples::keep(const std::set<std::uint64_t>& cgroups) {
    std::erase_if(links_, [&](const auto& entry) { return !cgroups.contains(entry.first); });
}

SampleMaps Samples::maps() const {
    return {.samples = bpf_map__fd(skeleton_->maps.samples), .sampling = bpf_map__fd(skeleton_->maps.sampling)};
}

}  // namespace upstat::programs
