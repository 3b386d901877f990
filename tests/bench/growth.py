# SPDX-License-Identifier: Apache-2.0
"""`growth`: what all programs together cost a proxied request (bpf_stats, beyond empty programs that stand beside them),
beside idle sockets and with servers in the maps; and the slope: what ten times as many add.

Sockets: connections in Traefik's cgroup that the programs know, both ends. Each level is set against the slices
before and after it, without them. Servers: agents with maps of one size that hold so many servers; their programs take turns in
random order. The traffic is one server's in all cases: what grows is the maps around its entries.
"""

import math
import random
import statistics
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path as FilePath

import agent as agents
import bpf
from figures import of_spread
from stage import WORKLOADS, Path, Programs
from warm import lower_quartile, slice_of

SOCKETS = (10, 1000, 50000)
WINDOW = 0.1  # seconds
MOST_A_PROCESS = 4000  # connections, of two descriptors each
HERE = FilePath(__file__).resolve().parent


@contextmanager
def idle(count, cgroup):
    """count sockets, half of them clients' and half accepted."""
    holders = []
    try:
        left = max(1, count // 2)
        while left:
            part = min(left, MOST_A_PROCESS)
            left -= part
            holders.append(subprocess.Popen(cgroup.inside([sys.executable, str(HERE / "idle.py"), str(part)]), text=True,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        for holder in holders:
            assert holder.stdout.readline() == "held\n", "an idle socket could not be had: ulimit -n?"
        yield
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()


def measure(directory, options):
    rounds = max(3, options.rounds // 3)
    sockets = {count: [] for count in SOCKETS}
    servers = {count: [] for count in options.servers}
    with Path(directory, options) as path, bpf.statistics():
        with Programs(directory, options.upstat) as programs:
            for _ in range(rounds):
                for count in random.sample(SOCKETS, len(SOCKETS)):
                    sockets[count].append(_beside_sockets(programs, path, count, options.seconds))
        with ExitStack() as stack:
            filled = {count: stack.enter_context(_filled(directory, options, count)) for count in options.servers}
            for _ in range(options.rounds):
                for count in random.sample(list(filled), len(filled)):
                    with _on(filled[count], path):
                        servers[count].append(_cost(filled[count], path, options.seconds))
    return _figures(sockets, servers), {"sockets": sockets, "servers": servers}


def _beside_sockets(programs, path, count, seconds):
    """(ns a request alone, beside `count` sockets)."""
    with _on(programs, path):
        before = _cost(programs, path, seconds)
        with idle(count, path.cgroup):
            beside = _cost(programs, path, seconds)
        return (before + _cost(programs, path, seconds)) / 2, beside


@contextmanager
def _on(programs, path):
    with programs.on(path.cgroup, "empty"), programs.on(path.cgroup, "upstat"):
        yield


def _cost(programs, path, seconds):
    """ns a request, on connections that are new: the lower quartile of windows, since what else the machine does only adds."""
    load = path.load().start(path.url, WORKLOADS["small"])
    try:
        load.window(WINDOW)  # in which they begin
        costs = [slice_of(programs, lambda: load.window(WINDOW)).beyond_all() for _ in range(int(seconds / WINDOW))]
    finally:
        load.stop()
    path.traefik.drain()
    return lower_quartile(costs)


@contextmanager
def _filled(directory, options, count):
    flags = agents.room_for(max(options.servers))
    with Programs(directory, options.upstat, f"upstat-{count}", {**flags, "--poll.interval": "1h", "--alert.window": "2h"}) as programs:
        filler = agents.Filler(programs.agent.pin_path, count)
        filler.set(1)
        filler.close()
        yield programs


def _figures(sockets, servers):
    beside = {count: [with_them / alone for alone, with_them in pairs] for count, pairs in sockets.items()}
    figures = [of_spread("growth", f"beside {count:,} idle sockets: cost of a request", "ratio to none", ratios, bound=1.2)
               for count, ratios in beside.items()]
    figures.append(_slope("sockets", beside))
    least = min(servers)
    figures.append(of_spread("growth", f"{least:,} servers in the maps: all programs, beyond empty ones", "ns/request",
                             servers[least]))
    with_servers = {count: [many / few for many, few in zip(costs, servers[least])] for count, costs in sorted(servers.items())}
    figures += [of_spread("growth", f"{count:,} servers in the maps: cost of a request", f"ratio to {least:,}", ratios, bound=1.2)
                for count, ratios in with_servers.items() if count != least]
    return figures + ([_slope("servers", with_servers)] if len(servers) > 1 else [])


def _slope(what, ratios):
    """ratios: count -> one of each round. The slope is each round's own, over the counts' logarithms."""
    decades = [math.log10(count) for count in ratios]
    slopes = [100 * statistics.linear_regression(decades, each).slope for each in zip(*ratios.values())]
    return of_spread("growth", f"ten times as many {what}: cost of a request", "% more", slopes)
