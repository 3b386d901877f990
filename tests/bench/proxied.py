# SPDX-License-Identifier: Apache-2.0
"""`traefik`: what a proxied request costs, with nothing, with upstat, and with what else counts responses.

A shared machine's speed changes from second to second, and two processes of one binary differ for as long as they live,
both by more than what is looked for. So:
 - Nothing, empty programs and upstat are roles of one and the same process, with the same nginx and load. Each role has a
   service and connections of its own in it, which the programs see from their first packet to the last; they are attached
   for the windows of their role only. The roles change services in each round.
 - A window of load is short, and ends with nothing under way: CPU, responses and latency of a window are whole. All roles
   have one in each turn, in an order that is drawn again and again. A turn gives a cost of each role as ratios to each of
   the plain windows in it, of which there are four: the machine's pace falls out. A ratio to their mean would not do:
   costs lean to the right, so the median of equal roles was 0.98 of it.
 - Plain roles are compared with the other plain ones, in the same way: that is the noise, and so is any difference within.
 - The median of all these ratios, with an interval by bootstrap that draws whole rounds, whose turns share connections:
   turns in which somebody else had the machine do not move it.
 - Traefik has one CPU, nginx and the load another one. Where both wandered, a tenth of the windows cost at least twice the
   median.
What else counts responses has a process for each, with windows in the same turns.

Seen of A/A alone, two runs on 2 virtual CPUs, each variant for 18 s (25 to 51 turns) and one after the other: half the
95 % interval, scaled to 300 s. First run: wandering 0.031, pinned 0.013, GOMAXPROCS=1 0.018, pinned with GOGC=400 0.017,
pinned with windows of 50 ms 0.026. Second: wandering 0.064, pinned 0.025, all on one CPU 0.027, pinned with spinners that
let no CPU sleep 0.023. So pinning halves it, twice; the rest cannot be told apart, nor a trimmed mean from the median.

CPU is that of the whole path (Traefik, nginx, load, and mtail), because on the loopback the programs that see a packet
arrive run on the sender's time; the difference is set against Traefik's own CPU. Traefik's CPU alone, and mtail's, is
shown beside it. upstat's agent is in `agent`: what it needs does not depend on requests.
"""

import random
import statistics
import time
from contextlib import ExitStack
from typing import NamedTuple

from figures import Figure, of_spread, spread
from stage import WORKLOADS, Path, Programs

WINDOW = 0.1    # seconds
SETTLE = 0.005  # until what ends a window's connections has run
IDLE = 8.0      # longer than a turn: a pause closes no connection

PLAIN = ("plain", "plain again", "plain, a third time", "plain, a fourth time")
PROGRAMS = {"empty programs": "empty", "upstat": "upstat"}
EQUAL = (*PLAIN, *PROGRAMS)  # roles of one process
_LABELS = {"addServicesLabels": True, "addEntryPointsLabels": False}
METRICS = "Traefik's metrics (services)"
WHOLE = "CPU of the whole path added to Traefik's"
OTHERS = {
    METRICS: {"more": {"metrics": {"prometheus": _LABELS}}},
    "Traefik's metrics (services, routers)": {"more": {"metrics": {"prometheus": {**_LABELS, "addRoutersLabels": True}}}},
    "JSON access log": {"log": True},
    "JSON access log and mtail": {"mtail": True},
}


class Cost(NamedTuple):
    """One role in one turn: microseconds a request."""

    traefik: float
    whole: float  # Traefik, nginx and load together


class Latency(NamedTuple):
    """One role in one round, in milliseconds."""

    p50: float
    p99: float


class Round(NamedTuple):
    turns: list     # of {role: Cost}
    latency: dict   # role -> Latency


def measure(directory, options):
    with Programs(directory, options.upstat) as programs, ExitStack() as stack:
        def path(name, **more):
            return stack.enter_context(Path(directory, options, name, ways=len(EQUAL), pinned=True, idle=IDLE, **more))

        plain = path("plain")
        paths = {role: plain for role in EQUAL} | {role: path(f"other-{i}", **more)
                                                   for i, (role, more) in enumerate(OTHERS.items())}
        figures, details = [], {}
        for workload in options.workloads:
            rounds = [measure_round(programs, paths, WORKLOADS[workload], options.seconds, number)
                      for number in range(options.rounds + 1)][1:]  # the first one warms up
            figures += figures_of(workload, rounds)
            details[workload] = [{"turns": [{role: list(cost) for role, cost in turn.items()} for turn in one.turns],
                                  "latency": {role: one.latency[role]._asdict() for role in one.latency}} for one in rounds]
        return figures, details


def measure_round(programs, paths, workload, seconds, number):
    """Turns on connections that are new."""
    with ExitStack() as stack:
        loads = {}
        for i, (role, path) in enumerate(paths.items()):
            loads[role] = path.load()
            stack.callback(loads[role].stop)
            loads[role].start(path.url_of(workload, (number + i) % len(EQUAL)), workload)
        turns, latency = [], {role: [] for role in paths}
        for turn in range(1 + int(seconds / WINDOW)):
            costs = {}
            for role in random.sample(list(paths), len(paths)):
                costs[role], answered = _window(programs, role, paths[role], loads[role])
                if turn:  # in the first one, connections begin
                    latency[role] += answered.microseconds
            if turn:
                turns.append(costs)
    for path in set(paths.values()):
        path.forget_log()
    time.sleep(IDLE + 0.5)  # Traefik's connections to nginx end, before they are another role's
    return Round(turns, {role: _latency(all_of_it) for role, all_of_it in latency.items()})


def _window(programs, role, path, load):
    counted = programs.responses()
    with programs.on(path.cgroup, PROGRAMS.get(role)):
        before = path.cpu_us()
        answered = load.window(WINDOW)
        time.sleep(SETTLE)
        after = path.cpu_us()
    counted = programs.responses() - counted
    if role == "upstat":
        assert counted == answered.responses, (
            f"upstat counted {counted} responses, the load {answered.responses}: not a measurement of upstat at work")
    return Cost(*((now - then) / answered.requests for now, then in zip(after, before))), answered


def _latency(microseconds):
    cuts = statistics.quantiles(microseconds, n=100)
    return Latency(cuts[49] / 1000, cuts[98] / 1000)


def figures_of(workload, rounds, kind="traefik", others=OTHERS, measures=None):
    def row(name, unit, values, note=""):
        return of_spread(kind, f"{workload}: {name}", unit, values, note)

    figures = [row("plain Traefik, CPU", "us/request", [[turn[PLAIN[0]].traefik for turn in one.turns] for one in rounds]),
               row("plain Traefik, p50", "ms", [one.latency[PLAIN[0]].p50 for one in rounds]),
               row("plain Traefik, p99", "ms", [one.latency[PLAIN[0]].p99 for one in rounds])]
    for what, ratio, samples in measures or MEASURES:
        ratios = {role: [[ratio(sample[role], sample[base]) for sample in samples(one) for base in PLAIN if base != role]
                         for one in rounds] for role in (*EQUAL, *others)}
        noise = max(abs(edge - 1) for role in PLAIN for edge in spread(ratios[role])[1:])
        figures += [_of_role(kind, workload, role, what, ratios[role], noise) for role in ratios]
        if ratio is _whole:
            figures.append(_against_metrics(kind, workload, spread(ratios["upstat"]), spread(ratios[METRICS]), noise))
    return figures


def _of_role(kind, workload, role, what, ratios, noise):
    ratio = spread(ratios)
    apart = abs(ratio.median - 1) > noise and not ratio.one
    note = "" if role in PLAIN else "beyond the noise" if apart else "noise"
    return Figure(kind, f"{workload}: {role}, {what}", "ratio to plain", *ratio,
                  f"{note} (A/A: within {noise:.3f})" if note else "")


def _against_metrics(kind, workload, upstat, metrics, noise):
    """Of medians: single differences of nearly nothing have no quotient, nor has what is within the noise."""
    name, added = f"{workload}: added CPU, upstat / {METRICS}", metrics.median - 1
    if added <= noise:
        return Figure(kind, name, "ratio", float("nan"), note="the metrics' own cost is within the noise")
    low, high = sorted(((upstat.low - 1) / added, (upstat.high - 1) / added))
    return Figure(kind, name, "ratio", (upstat.median - 1) / added, low, high, "medians; the interval is upstat's")


def _turns(one):
    return one.turns


def _latencies(one):
    return [one.latency]


def _whole(one, plain):
    """What the whole path needs more, as a part of what Traefik needs."""
    return 1 + (one.whole - plain.whole) / plain.traefik


def _alone(one, plain):
    return one.traefik / plain.traefik


def _p50(one, plain):
    return one.p50 / plain.p50


def _p99(one, plain):
    return one.p99 / plain.p99


MEASURES = ((WHOLE, _whole, _turns), ("CPU, Traefik alone", _alone, _turns), ("p50", _p50, _latencies), ("p99", _p99, _latencies))
