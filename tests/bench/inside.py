# SPDX-License-Identifier: Apache-2.0
"""`inside`: Google Benchmark of bpf/http.h's functions, compiled for the host; see inside.cpp."""

import json
import subprocess
from collections import defaultdict

from figures import of_spread

REPETITIONS = 20


def measure(_directory, options):
    said = subprocess.run([options.build / "bench_inside", "--benchmark_format=json", "--benchmark_min_time=0.01",
                           f"--benchmark_repetitions={REPETITIONS}", "--benchmark_enable_random_interleaving=true"],
                          check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=300).stdout
    times = defaultdict(list)
    for run in json.loads(said)["benchmarks"]:
        if run["run_type"] == "iteration":
            assert run["time_unit"] == "ns"
            times[run["run_name"].removeprefix("with/")].append(run["cpu_time"])
    return [of_spread("inside", name, "ns/call", values) for name, values in sorted(times.items())], times
