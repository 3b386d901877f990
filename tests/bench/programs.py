# SPDX-License-Identifier: Apache-2.0
"""`kernel`: what the programs cost in vivo, by the kernel's own clock (bpf_stats), beyond empty ones on the same hooks.

Each path is driven alone, the empty programs and upstat's in turn, in random order:
    proxied   Traefik in the cgroup: both its sides and all of a request's packets
    request, response the load in the cgroup asks nginx for small responses: what leaves are requests, what comes are responses
    body      the load in the cgroup asks for 300 KB: what comes are responses and body packets, the responses taken off;
              what leaves are requests and bare acknowledgements, the requests taken off
    client    nginx in the cgroup: packets of accepted connections only
The load and nginx do little else, so their caches are warmer than Traefik's: `proxied` is the figure that counts. cuts.py
says what that is made of, and warm.py what a run costs at its best.
"""

import os
import random
from typing import NamedTuple

from parts.cgroup import Cgroup

import bpf
import cuts
import warm
from figures import of_spread
from stage import BODY, WORKLOADS, Path, Programs

PROGRAMS = ("sockops", "ingress", "egress")
WARMER = "of nginx and the load, warmer than Traefik"


class Drive(NamedTuple):
    where: str     # whose cgroup
    workload: str
    through_traefik: bool = False


PATHS = {
    "proxied": Drive("traefik", "small", True),
    "proxied large": Drive("traefik", "large", True),
    "exchange": Drive("load", "small"),
    "download": Drive("load", "large"),
    "client": Drive("nginx", "small"),
}


class Sample(NamedTuple):
    requests: int
    runs: dict  # hook -> Runs

    def per_request(self):
        return sum(runs.ns for runs in self.runs.values()) / self.requests


def measure(directory, options):
    print(bpf.counts_instructions())
    with Programs(directory, options.upstat) as programs, Path(directory, options) as path, bpf.statistics():
        loops = warm.measure(programs, path)
        rounds = [_round(programs, path, options.seconds) for _ in range(options.rounds)]
        parts = cuts.measure(programs, path, options)
    details = [{name: {which: {"requests": sample.requests, **{hook: runs._asdict() for hook, runs in sample.runs.items()}}
                       for which, sample in pair.items()} for name, pair in each.items()} for each in rounds]
    return (figures_of(rounds) + cuts.figures_of(parts) + warm.figures_of(loops),
            {"in vivo": details, "parts": parts, "warm": warm.details_of(loops)})


def _round(programs, path, seconds):
    order = [(name, which) for name in PATHS for which in ("empty", "upstat")]
    random.shuffle(order)
    samples = {name: {} for name in PATHS}
    for name, which in order:
        samples[name][which] = _sample(programs, path, PATHS[name], which, seconds)
    return samples


def _sample(programs, path, drive, which, seconds):
    """One slice of load on one path, with the programs of one name."""
    url = path.url if drive.through_traefik else f"http://{path.nginx.servers[0]}"
    with Cgroup(f"upstat-bench-{os.getpid()}-client") as client:
        cgroup = {"traefik": path.cgroup, "load": client, "nginx": path.around}[drive.where]
        with programs.on(cgroup, which):
            before = programs.runs()[which]
            answered = path.load(client).run(url, WORKLOADS[drive.workload], seconds)
            path.traefik.drain()
            after = programs.runs()[which]
    return Sample(answered.requests, {hook: after[hook] - before[hook] for hook in after})


def beyond_empty(pair):
    """ns a proxied request, all programs together."""
    return pair["upstat"].per_request() - pair["empty"].per_request()


def _each(pair, hook):
    """ns a run beyond the empty program's."""
    return pair["upstat"].runs[hook].each - pair["empty"].runs[hook].each


def _without(many, few, hook):
    """ns a run of what a download has beyond an exchange, request for request."""
    scale = many.requests / few.requests
    count = many.runs[hook].count - few.runs[hook].count * scale
    return (many.runs[hook].ns - few.runs[hook].ns * scale) / count if count > 0 else float("nan")


def _packet(each, hook):
    return (_without(each["download"]["upstat"], each["exchange"]["upstat"], hook)
            - _without(each["download"]["empty"], each["exchange"]["empty"], hook))


def figures_of(rounds):
    def row(name, unit, value, note=""):
        return of_spread("kernel", name, unit, [value(each) for each in rounds], note)

    rows = [row("small responses: all programs, beyond empty ones", "ns/request", lambda each: beyond_empty(each["proxied"])),
            row("small responses: empty programs", "ns/request", lambda each: each["proxied"]["empty"].per_request()),
            row(f"{BODY // 1000} KB responses: all programs, beyond empty ones", "ns/request",
                lambda each: beyond_empty(each["proxied large"]))]
    for hook in PROGRAMS:
        rows.append(row(f"small responses: {hook}, runs", "per request",
                        lambda each, hook=hook: each["proxied"]["upstat"].runs[hook].count / each["proxied"]["upstat"].requests))
    for hook in PROGRAMS[1:]:
        rows.append(row(f"small responses: {hook} in Traefik, both sides, beyond empty", "ns/run",
                        lambda each, hook=hook: _each(each["proxied"], hook)))
    rows += [
        row("body packet (ingress), beyond empty", "ns/run", lambda each: _packet(each, "ingress"), WARMER),
        row("bare acknowledgement (egress), beyond empty", "ns/run", lambda each: _packet(each, "egress")),
        row("client-side packet (ingress), beyond empty", "ns/run", lambda each: _each(each["client"], "ingress"), WARMER),
        row("client-side packet (egress), beyond empty", "ns/run", lambda each: _each(each["client"], "egress"), WARMER),
        row("request (egress), beyond empty", "ns/run", lambda each: _each(each["exchange"], "egress")),
        row("response (ingress), beyond empty", "ns/run", lambda each: _each(each["exchange"], "ingress")),
    ]
    return rows
