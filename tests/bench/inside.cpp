// SPDX-License-Identifier: Apache-2.0
// What bpf/http.h's functions cost when they are compiled for the host, by Google Benchmark: `scripts/bench inside`.
// The kernel's compiler and its verifier's limits are others: these figures compare versions, and say nothing of a
// packet.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "http.h"

namespace {

using Bytes = std::array<__u8, 32>;  // zeros stand behind what is read, as in the programs

template <typename Function>
void with(benchmark::State& state, std::string_view text, Function function) {
    Bytes bytes{};
    std::ranges::copy(text, bytes.begin());
    for (auto _ : state) {
        benchmark::DoNotOptimize(bytes);
        auto result = function(bytes.data());
        benchmark::DoNotOptimize(result);
    }
}

#define OF(name, text, ...) BENCHMARK_CAPTURE(with, name, text, [](const __u8* bytes) { return __VA_ARGS__; })

OF(http_method GET, "GET / HTTP/1.1\r\n", http_method(bytes));
OF(http_method PURGE, "PURGE / HTTP/1.1", http_method(bytes));
OF(http_opening request, "GET / HTTP/1.1\r\n", http_opening(bytes, HTTP_OPENING_BYTES));
OF(http_opening answer, "HTTP/1.1 200 OK\r", http_opening(bytes, HTTP_OPENING_BYTES));
OF(http_status, "HTTP/1.1 200 OK\r", http_status(bytes));
OF(http_header length, "Content-Length: 100000\r\n", http_header(bytes));
OF(http_header other, "X-Forwarded-For: 127.0.0.1\r\n", http_header(bytes));
OF(http_length, " 100000\r\n", http_length(bytes));
OF(http_chunk_size, "1f40\r\n", http_chunk_size(bytes));

}  // namespace

BENCHMARK_MAIN();
