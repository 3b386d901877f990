# SPDX-License-Identifier: Apache-2.0
"""`growth`: what all programs together cost a request (bpf_stats, beyond empty programs that stand beside them, each first
in half of the windows), as sockets and servers become many; and the slope: what ten times as many add.

In turn: a load asks nginx on one connection after the other, so that all of them, and all servers' entries, are in use.
Its cgroup has the programs. In rounds of random order; the figures are ratios to the fewest.
Idle: the same tables, but what is asked stays hot. Sockets: connections in Traefik's cgroup that the programs know, both
ends; each level is set against the slices before and after it, without them. Servers: agents with maps of one size that
hold so many servers; their programs take turns in random order; the traffic is one server's. What grows in turn and not
here is not the tables' work but the caches': memory that was not touched for long.
"""

import math
import os
import random
import statistics
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path as FilePath
from typing import NamedTuple

from parts.base import Part
from parts.cgroup import Cgroup

import agent as agents
import bpf
from figures import FEW, of_spread
from stage import WORKLOADS, Load, Path, Programs, Servers, Workload
from warm import in_both_orders, lower_quartile

SOCKETS = (10, 1000, 50000)
SERVERS_OF_SOCKETS = 10
SOCKETS_OF_SERVERS = 10000
WINDOW = 0.1  # seconds
MOST_A_PROCESS = 4000  # connections, of two descriptors each
MOST_A_LOAD = 12500    # connections, of one
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
    rounds = max(FEW, options.rounds // 2)
    levels = [(count, SERVERS_OF_SOCKETS) for count in SOCKETS] + [(SOCKETS_OF_SERVERS, count) for count in options.servers]
    in_turn = {level: [] for level in levels}
    sockets = {count: [] for count in SOCKETS}
    servers = {count: [] for count in options.servers}
    with bpf.statistics():
        with Programs(directory, options.upstat) as programs, _Everywhere(directory, options) as everywhere:
            for _ in range(rounds):
                for level in random.sample(levels, len(levels)):
                    in_turn[level].append(everywhere.cost(programs, *level, options.seconds))
        with Path(directory, options) as path:
            with Programs(directory, options.upstat, "upstat-sockets") as programs:
                for _ in range(rounds):
                    for count in random.sample(SOCKETS, len(SOCKETS)):
                        sockets[count].append(_beside_sockets(programs, path, count, options.seconds))
            with ExitStack() as stack:
                filled = {count: stack.enter_context(_filled(directory, options, count)) for count in options.servers}
                for _ in range(rounds):
                    for count in random.sample(list(filled), len(filled)):
                        servers[count].append(_cost(filled[count], path, options.seconds))
    details = {"in turn": [[*level, costs] for level, costs in in_turn.items()], "sockets": sockets, "servers": servers}
    return _in_turn(in_turn, options.servers) + _idle(sockets, servers), details


class _Everywhere(Part):
    """nginx on every address, and loads that ask many of them."""

    def __init__(self, directory, options):
        self._stack = ExitStack()
        self._tool = options.build / "bench_load"
        self._around = Cgroup(f"upstat-bench-{os.getpid()}-everywhere")
        directory = FilePath(directory) / "everywhere"
        directory.mkdir()
        self._nginx = Servers(directory, self._around, address="0.0.0.0", workers=4)

    def start(self):
        for part in (self._around, self._nginx):
            self._stack.enter_context(part)

    def stop(self):
        self._stack.close()

    def cost(self, programs, sockets, servers, seconds):
        """ns a request."""
        with Cgroup(f"upstat-bench-{os.getpid()}-in-turn") as client:
            url, loads = f"http://{self._nginx.servers[0]}", []
            try:
                for part in range(0, sockets, MOST_A_LOAD):
                    some = min(sockets - part, MOST_A_LOAD)
                    loads.append(Load(self._tool, client).start(url, Workload("/", some, "turns", servers=min(servers, sockets))))
                return _quartile(programs, client, loads, seconds, sockets)
            finally:
                for load in loads:
                    load.stop()


def _beside_sockets(programs, path, count, seconds):
    """(ns a request alone, beside `count` sockets)."""
    before = _cost(programs, path, seconds)
    with ExitStack() as stack:
        with programs.on(path.cgroup, "upstat"):  # which sees them begin
            stack.enter_context(idle(count, path.cgroup))
        beside = _cost(programs, path, seconds)
    return (before + _cost(programs, path, seconds)) / 2, beside


def _cost(programs, path, seconds):
    """ns a request, through Traefik, on connections that are new."""
    load = path.load().start(path.url, WORKLOADS["small"])
    try:
        return _quartile(programs, path.cgroup, [load], seconds, WORKLOADS["small"].connections)
    finally:
        load.stop()
        path.traefik.drain()


def _quartile(programs, cgroup, loads, seconds, connections):
    """The lower quartile of windows, since what else the machine does only adds. Not before all connections are there: each
    load has as many, and takes its turn."""
    def each(load):
        left = connections / len(loads)
        while left > 0:
            left -= load.window(WINDOW).requests

    def window():
        return Asked(sum(load.window(WINDOW / len(loads)).requests for load in loads))

    slices = in_both_orders(programs, cgroup, ("upstat", "empty"), window, max(3, int(seconds / 2 / WINDOW)),
                            lambda: [each(load) for load in loads])
    return lower_quartile([one.beyond_all() for one in slices])


class Asked(NamedTuple):
    requests: int


@contextmanager
def _filled(directory, options, count):
    flags = agents.room_for(max(options.servers))
    with Programs(directory, options.upstat, f"upstat-{count}", {**flags, "--poll.interval": "1h", "--alert.window": "2h"}) as programs:
        filler = agents.Filler(programs.agent.pin_path, count)
        filler.set(1)
        filler.close()
        yield programs


def _in_turn(costs, servers):
    def ratios(levels):
        return {level: [many / few for many, few in zip(costs[level], costs[levels[0]])] for level in levels}

    of_sockets = ratios([(count, SERVERS_OF_SOCKETS) for count in SOCKETS])
    of_servers = ratios([(SOCKETS_OF_SERVERS, count) for count in sorted(servers)])
    fewest = next(iter(of_sockets))
    figures = [of_spread("growth", f"{SOCKETS[0]} sockets asked in turn: all programs, beyond empty ones", "ns/request",
                         costs[fewest])]
    figures += [of_spread("growth", f"{count:,} sockets asked in turn: cost of a request", f"ratio to {SOCKETS[0]}", each)
                for (count, _), each in of_sockets.items() if count != SOCKETS[0]]
    figures.append(_slope("sockets asked in turn", {count: each for (count, _), each in of_sockets.items()}))
    figures += [of_spread("growth", f"{count:,} servers asked in turn, on {SOCKETS_OF_SERVERS:,} sockets: cost of a request",
                          f"ratio to {min(servers)}", each)
                for (_, count), each in of_servers.items() if count != min(servers)]
    return figures + ([_slope("servers asked in turn", {count: each for (_, count), each in of_servers.items()})]
                      if len(servers) > 1 else [])


def _idle(sockets, servers):
    beside = {count: [with_them / alone for alone, with_them in pairs] for count, pairs in sockets.items()}
    figures = [of_spread("growth", f"beside {count:,} idle sockets: cost of a request", "ratio to none", ratios)
               for count, ratios in beside.items()]
    least = min(servers)
    with_servers = {count: [many / few for many, few in zip(costs, servers[least])] for count, costs in sorted(servers.items())}
    return figures + [of_spread("growth", f"beside {count:,} idle servers in the maps: cost of a request", f"ratio to {least:,}", ratios)
                      for count, ratios in with_servers.items() if count != least]


def _slope(what, ratios):
    """ratios: count -> one of each round. The slope is each round's own, over the counts' logarithms."""
    decades = [math.log10(count) for count in ratios]
    slopes = [100 * statistics.linear_regression(decades, each).slope for each in zip(*ratios.values())]
    return of_spread("growth", f"ten times as many {what}: cost of a request", "% more", slopes)
