# SPDX-License-Identifier: Apache-2.0
"""Of `kernel`: what a run costs with warm caches, by path. One connection goes round and round in a loop of its own:
    exchange   the load in the cgroup, one kept connection: what leaves are requests, what comes are responses
    body       the load in the cgroup downloads DOWNLOAD bytes at a time: body packets come, bare acknowledgements leave
    client     nginx in the cgroup, of an exchange: requests come on an accepted connection, responses leave
    once       the load in the cgroup, a connection for each request: its first packets, and its end
The empty programs stand beside upstat's in the same slice, and bpf_stats times each: their difference is of the very
same packets. Who runs first pays for what is cold: so each slice has two halves, in which they change places. An empty
program beside another one, in the same way, is the A/A. Whatever else a machine does only adds: the figure is the lower
quartile of SLICES short slices. The CPUs are kept from halting, out of which a virtual one comes with everything cold.
"""

import operator
import os
import statistics
import struct
from contextlib import contextmanager
from typing import NamedTuple

from parts.cgroup import Cgroup

from figures import of_spread
from stage import DOWNLOAD, Workload

SLICES = 100
SLICE = 0.02  # seconds


class Loop(NamedTuple):
    where: str  # whose cgroup
    workload: Workload


LOOPS = {
    "exchange": Loop("load", Workload("/", 1)),
    "body": Loop("load", Workload(f"/bytes/{DOWNLOAD}", 1)),
    "client": Loop("nginx", Workload("/", 1)),
    "once": Loop("load", Workload("/", 1, "once")),
}


class Slice(NamedTuple):
    requests: int
    runs: dict  # hook -> (upstat's Runs, the empty program's)

    def __add__(self, other):
        return Slice(self.requests + other.requests, {hook: tuple(map(operator.add, self.runs[hook], other.runs[hook]))
                                                      for hook in self.runs})

    def beyond(self, hook):
        """ns a run."""
        upstat, empty = self.runs[hook]
        return upstat.each - empty.each

    def beyond_all(self):
        """ns a request, all programs."""
        return sum(upstat.ns - empty.ns for upstat, empty in self.runs.values()) / self.requests

    def per_request(self, hook):
        return self.runs[hook][0].count / self.requests


def measure(programs, path):
    """name -> [Slice]"""
    with _awake():
        loops = {name: _slices(programs, path, loop) for name, loop in LOOPS.items()}
        return {**loops, "A/A": _slices(programs, path, LOOPS["exchange"], ("empty again", "empty"))}


@contextmanager
def _awake():
    """A CPU that has nothing to do waits in a loop, where the kernel has that knob (its pm_qos_interface.rst)."""
    try:
        knob = open("/dev/cpu_dma_latency", "wb", buffering=0)
    except OSError as error:
        print(f"the CPUs may halt while what is warm is measured: {error}")
        yield
        return
    with knob:
        knob.write(struct.pack("i", 0))  # microseconds that it may take to come back
        yield


def _slices(programs, path, loop, pair=("upstat", "empty")):
    with Cgroup(f"upstat-bench-{os.getpid()}-warm") as client:
        cgroup = client if loop.where == "load" else path.around
        load = path.load(client).start(f"http://{path.nginx.servers[0]}", loop.workload)
        try:
            return in_both_orders(programs, cgroup, pair, lambda: load.window(SLICE), SLICES)
        finally:
            load.stop()


def in_both_orders(programs, cgroup, pair, run, slices, first=lambda: None):
    """Slices whose halves are windows of load, run(), with both kinds of programs attached, one first and then the other;
    `first` goes before the first of each, which is not counted."""
    halves = []
    for order in (pair, pair[::-1]):
        with programs.on(cgroup, order[0]), programs.on(cgroup, order[1]):
            first()
            halves.append([slice_of(programs, run, pair) for _ in range(slices + 1)][1:])
    return list(map(operator.add, *halves))


def slice_of(programs, run, pair):
    """Of the window of load that run() is, with both kinds of programs attached."""
    before = programs.runs()
    requests = run().requests
    after = programs.runs()
    return Slice(requests, {hook: tuple(after[name][hook] - before[name][hook] for name in pair) for hook in after["upstat"]})


def details_of(loops):
    return {name: [{"requests": one.requests, **{hook: [list(runs) for runs in pair] for hook, pair in one.runs.items()}}
                   for one in slices] for name, slices in loops.items()}


def lower_quartile(values):
    return statistics.quantiles(values, n=4)[0]


def figures_of(loops):
    def row(name, loop, hook):
        often = statistics.median(one.per_request(hook) for one in loops[loop])
        return of_spread("kernel", f"warm: {name} ({hook}), beyond empty", "ns/run", [one.beyond(hook) for one in loops[loop]],
                         f"{often:.2f} runs a request" if often < 10 else "", middle=lower_quartile)

    def total(name, loop, unit):
        return of_spread("kernel", f"warm: {name}, all programs, beyond empty ones", unit,
                         [one.beyond_all() for one in loops[loop]], middle=lower_quartile)

    return [
        row("request", "exchange", "egress"), row("response", "exchange", "ingress"),
        total("request and response on a kept connection", "exchange", "ns/request"),
        row("body packet", "body", "ingress"), row("bare acknowledgement", "body", "egress"),
        row("client-side request", "client", "ingress"), row("client-side response", "client", "egress"),
        row("connection's events", "once", "sockops"),
        row("packets of a connection for one request", "once", "egress"),
        row("packets of a connection for one request", "once", "ingress"),
        total("connection, from its first packet to its end, with one request", "once", "ns/connection"),
        row("an empty program (A/A)", "A/A", "egress"), row("an empty program (A/A)", "A/A", "ingress"),
    ]
