// SPDX-License-Identifier: Apache-2.0
// The probe, attached to a function of this process: it is shown responses as Go lays them out, and memory that cannot
// be read.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "layout.h"
#include "probe.skel.h"

/// Where the probe is. Its arguments are where Go's function has them.
extern "C" [[gnu::noinline]] void probe_here(const void* response, const void* request) {
    asm volatile("" ::"r"(response), "r"(request) : "memory");
}

namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

struct GoString {
    const char* bytes = nullptr;
    std::int64_t size = 0;
};

GoString go(const std::string& text) {
    return {.bytes = text.data(), .size = static_cast<std::int64_t>(text.size())};
}

/// http.Response of Go 1.22 to 1.26, up to TLS.
struct GoResponse {
    GoString status{};
    std::int64_t code = 200;
    GoString protocol{};
    std::int64_t major = 1;
    std::array<std::int64_t, 11> others{};
    const void* tls = nullptr;
};
static_assert(offsetof(GoResponse, tls) == 136);

struct GoUrl {
    GoString scheme{};
    GoString opaque{};
    const void* user = nullptr;
    GoString host{};
};

struct GoRequest {
    GoString method{};
    const GoUrl* url = nullptr;
};

template <typename Value>
const Value* unreadable() {
    return reinterpret_cast<const Value*>(8);
}

class Probe : public testing::Test {
  protected:
    Probe() {
        bpf_map* map = nullptr;
        bpf_object__for_each_map(map, skeleton_->obj) {
            bpf_map__set_pin_path(map, nullptr);
        }
        if (probe_bpf__load(skeleton_) != 0) {
            return;
        }
        const std::uint32_t zone = 0;
        const int program = bpf_program__fd(skeleton_->progs.upstat_probed);
        bpf_map_update_elem(bpf_map__fd(skeleton_->maps.counting), &zone, &program, BPF_ANY);
        bpf_uprobe_opts options{};
        options.sz = sizeof options;
        options.func_name = "probe_here";
        link_ = bpf_program__attach_uprobe_opts(skeleton_->progs.upstat_probe, 0, "/proc/self/exe", 0, &options);
    }
    Probe(const Probe&) = delete;
    Probe& operator=(const Probe&) = delete;
    ~Probe() override {
        bpf_link__destroy(link_);
        probe_bpf__destroy(skeleton_);
    }
    void SetUp() override { ASSERT_NE(link_, nullptr) << "the probe cannot be attached"; }

    /// What a per-CPU map holds: the sums by key.
    template <typename Key>
    std::map<std::string, std::uint64_t> sums(const bpf_map* map, auto&& name_of) const {
        std::map<std::string, std::uint64_t> all;
        std::vector<std::uint64_t> counts(static_cast<std::size_t>(libbpf_num_possible_cpus()));
        Key key{};
        Key next{};
        for (bool first = true; bpf_map_get_next_key(bpf_map__fd(map), first ? nullptr : &key, &next) == 0;
             first = false) {
            key = next;
            bpf_map_lookup_elem(bpf_map__fd(map), &key, counts.data());
            for (const auto count : counts) {
                if (count != 0) {
                    all[name_of(key)] += count;
                }
            }
        }
        return all;
    }
    [[nodiscard]] std::map<std::string, std::uint64_t> probed() const {
        return sums<upstat_probed_key>(skeleton_->maps.probed, [](const upstat_probed_key& key) {
            return std::string(key.host) + " " + std::to_string(key.detail);
        });
    }
    /// Responses of no known server, by code.
    [[nodiscard]] std::map<std::string, std::uint64_t> overflow() const {
        auto all = sums<upstat_total_key>(skeleton_->maps.overflow, [](const upstat_total_key& key) {
            return key.event == UPSTAT_REQUEST ? "requests" : std::to_string(key.detail);
        });
        return all;
    }
    [[nodiscard]] std::uint64_t at_place(std::uint32_t place) const {
        return sums<std::uint32_t>(skeleton_->maps.places,
                                   [](std::uint32_t key) { return std::to_string(key); })[std::to_string(place)];
    }

    probe_bpf* skeleton_ = probe_bpf__open();
    bpf_link* link_ = nullptr;
    const std::string https_ = "https";
    const std::string http_ = "http";
    const std::string host_ = "shop:443";
    GoUrl url_{.scheme = go(https_), .host = go(host_)};
    GoRequest request_{.url = &url_};
};

TEST_F(Probe, CountsWhatIsHttps) {
    const GoResponse response{.code = 404};
    probe_here(&response, &request_);
    EXPECT_THAT(probed(), ElementsAre(Pair("shop:443 404", 1)));
    url_.scheme = go(http_);
    probe_here(&response, &request_);
    EXPECT_THAT(probed(), ElementsAre(Pair("shop:443 404", 1))) << "its packets are counted";
    EXPECT_THAT(overflow(), IsEmpty());
}

TEST_F(Probe, AResponseWhoseRequestCannotBeReadIsCounted) {
    const int session = 0;
    const GoResponse response{.code = 503, .tls = &session};
    request_.url = unreadable<GoUrl>();
    probe_here(&response, &request_);
    probe_here(&response, unreadable<GoRequest>());
    EXPECT_THAT(overflow(), ElementsAre(Pair("503", 2), Pair("requests", 2)));
    EXPECT_EQ(at_place(UPSTAT_PLACE_PROBE_NAME), 2U);
    EXPECT_EQ(at_place(UPSTAT_PLACE_PROBE_MEMORY), 0U);
}

/// Its packets were counted.
TEST_F(Probe, OneInClearTextIsNotCountedTwice) {
    const GoResponse response{.code = 503};
    probe_here(&response, unreadable<GoRequest>());
    EXPECT_THAT(overflow(), IsEmpty());
    EXPECT_EQ(at_place(UPSTAT_PLACE_PROBE_MEMORY), 0U);
}

TEST_F(Probe, WhatCannotBeReadAtAllIsSaid) {
    probe_here(unreadable<GoResponse>(), &request_);
    EXPECT_EQ(at_place(UPSTAT_PLACE_PROBE_MEMORY), 1U);
    EXPECT_THAT(overflow(), IsEmpty());
}

TEST_F(Probe, OneServerLeavesRoomForTheOthers) {
    for (int code = 200; code < 1000; ++code) {
        const GoResponse response{.code = code};
        probe_here(&response, &request_);
        probe_here(&response, &request_);
    }
    EXPECT_EQ(probed().size(), 256U);
    std::uint64_t sum = 0;
    for (const auto& [name, count] : probed()) {
        EXPECT_EQ(count, 2U) << name;
        sum += count;
    }
    for (const auto& [name, count] : overflow()) {
        sum += name == "requests" ? 0 : count;
    }
    EXPECT_EQ(sum, 1600U) << "no count is lost";
    EXPECT_EQ(at_place(UPSTAT_PLACE_PROBE_SERIES), 2U * (800 - 256));
    const std::string other = "blog:443";
    url_.host = go(other);
    const GoResponse response{.code = 204};
    probe_here(&response, &request_);
    EXPECT_EQ(probed().at("blog:443 204"), 1U);
}

}  // namespace
