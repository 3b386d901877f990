# SPDX-License-Identifier: Apache-2.0
"""`growth`: what all programs together cost a proxied request (bpf_stats), beside idle sockets and with servers in the
maps.

Sockets: connections in Traefik's cgroup that the programs know, both ends. Each level is set against the slice just
before it, without them. Servers: agents with maps of one size that hold so many servers; their programs take turns in
random order. The traffic is one server's in all cases: what grows is the maps around its entries.
"""

import random
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path as FilePath

import agent as agents
import bpf
from figures import of_spread
from programs import PATHS, counted, sample
from stage import Path, Programs

SOCKETS = (10, 1000, 50000)
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
                    servers[count].append(sample(filled[count], path, PATHS["proxied"], "upstat", options.seconds).per_request())
    return _figures(sockets, servers), {"sockets": sockets, "servers": servers}


def _beside_sockets(programs, path, count, seconds):
    """(ns a request alone, beside `count` sockets)."""
    with programs.on(path.cgroup, "upstat"):
        def slice_of():
            return counted(programs.by_name["upstat"], path, path.load(), path.url, "small", seconds).per_request()

        alone = slice_of()
        with idle(count, path.cgroup):
            return alone, slice_of()


@contextmanager
def _filled(directory, options, count):
    flags = agents.room_for(max(options.servers))
    with Programs(directory, options.upstat, f"upstat-{count}", {**flags, "--poll.interval": "1h"}) as programs:
        filler = agents.Filler(programs.agent.pin_path, count)
        filler.set(1)
        filler.close()
        yield programs


def _figures(sockets, servers):
    figures = []
    for count, pairs in sockets.items():
        figures.append(of_spread("growth", f"beside {count:,} idle sockets: cost of a request", "ratio to none",
                                 [with_them / alone for alone, with_them in pairs], bound=1.2))
    least = min(servers)
    figures.append(of_spread("growth", f"{least:,} servers in the maps: all programs", "ns/request", servers[least]))
    for count in sorted(servers)[1:]:
        ratios = [many / few for many, few in zip(servers[count], servers[least])]
        figures.append(of_spread("growth", f"{count:,} servers in the maps: cost of a request", f"ratio to {least:,}", ratios, bound=1.2))
    return figures
