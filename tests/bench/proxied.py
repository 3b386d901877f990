# SPDX-License-Identifier: Apache-2.0
"""`traefik`: what a proxied request costs, with nothing, with upstat, and with what else counts answers.

A shared machine's speed changes from second to second, and two processes of one binary differ for as long as they live,
both by more than what is looked for. So:
 - Nothing, empty programs and upstat are roles of one and the same process, with the same nginx and load. Each role has a
   service and connections of its own in it, which the programs see from their first packet to the last; they are attached
   for the windows of their role only. The roles change services in each round.
 - A window of load is short, and ends with nothing under way: CPU, answers and latency of a window are whole. All roles
   have one in each turn, in an order that is drawn again and again. A turn gives a cost of each role as a ratio to the mean
   of the plain windows in it, of which there are four: the machine's pace falls out.
 - Plain roles are compared with the other plain ones, in the same way: that is the noise, and so is any difference within.
 - The median of all turns, with an interval by bootstrap: turns in which somebody else had the machine do not move it.
 - Traefik has one CPU, nginx and the load another one. Where both wandered, a tenth of the windows cost at least twice the
   median.
What else counts answers has a process for each, with windows in the same turns.

Seen of A/A alone, two runs on 2 virtual CPUs, each variant for 18 s (25 to 51 turns) and one after the other: half the
95 % interval, scaled to 300 s. First run: wandering 0.031, pinned 0.013, GOMAXPROCS=1 0.018, pinned with GOGC=400 0.017,
pinned with windows of 50 ms 0.026. Second: wandering 0.064, pinned 0.025, all on one CPU 0.027, pinned with spinners that
let no CPU sleep 0.023. So pinning halves it, twice; the rest cannot be told apart, nor a trimmed mean from the median.
That the base is all other plain windows (there it was two) was chosen by reckoning, not by these.

CPU is that of the whole path (Traefik, nginx, load), because on the loopback the programs that see a packet arrive run
on the sender's time; the difference is set against Traefik's own CPU. Traefik's CPU alone is shown beside it.
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
            rounds = [_round(programs, paths, WORKLOADS[workload], options.seconds, number)
                      for number in range(options.rounds + 1)][1:]  # the first one warms up
            figures += figures_of(workload, rounds)
            details[workload] = [{"turns": [{role: list(cost) for role, cost in turn.items()} for turn in one.turns],
                                  "latency": {role: one.latency[role]._asdict() for role in one.latency}} for one in rounds]
        return figures, details


def _round(programs, paths, workload, seconds, number):
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
                latency[role] += answered.microseconds
            if turn:  # in the first one, connections begin
                turns.append(costs)
    for path in set(paths.values()):
        path.forget_log()
    time.sleep(IDLE + 0.5)  # Traefik's connections to nginx end, before they are another role's
    return Round(turns, {role: _latency(all_of_it) for role, all_of_it in latency.items()})


def _window(programs, role, path, load):
    counted = programs.answers()
    with programs.on(path.cgroup, PROGRAMS.get(role)):
        before = path.cpu_us()
        answered = load.window(WINDOW)
        time.sleep(SETTLE)
        after = path.cpu_us()
    counted = programs.answers() - counted
    if role == "upstat":
        assert counted == answered.answers, (
            f"upstat counted {counted} answers, the load {answered.answers}: not a measurement of upstat at work")
    return Cost(*((now - then) / answered.requests for now, then in zip(after, before))), answered


def _latency(microseconds):
    cuts = statistics.quantiles(microseconds, n=100)
    return Latency(cuts[49] / 1000, cuts[98] / 1000)


def figures_of(workload, rounds):
    turns = [turn for one in rounds for turn in one.turns]
    latencies = [one.latency for one in rounds]
    plain = [turn[PLAIN[0]] for turn in turns]

    def row(name, unit, values, note="", bound=None, upper=None):
        return of_spread("traefik", f"{workload}: {name}", unit, values, note, bound, upper)

    figures = [row("plain Traefik, CPU", "us/request", [one.traefik for one in plain]),
               row("plain Traefik, p50", "ms", [each[PLAIN[0]].p50 for each in latencies]),
               row("plain Traefik, p99", "ms", [each[PLAIN[0]].p99 for each in latencies])]
    for what, value, samples in (("CPU, whole path", _whole, turns), ("CPU, Traefik alone", _alone, turns),
                                 ("p50", _p50, latencies), ("p99", _p99, latencies)):
        ratios = {role: [value(each[role], [each[base] for base in PLAIN if base != role]) for each in samples]
                  for role in (*EQUAL, *OTHERS)}
        noise = max(abs(edge - 1) for role in PLAIN for edge in spread(ratios[role])[1:])
        for role in (*PLAIN, *PROGRAMS, *OTHERS):
            note = "" if role in PLAIN else _verdict(spread(ratios[role]), noise)
            bounds = (1.01, 1.02) if role == "upstat" and value is _whole else ()
            figure = row(f"{role}, {what}", "ratio to plain", ratios[role], note, *bounds)
            figures.append(figure._replace(noisy=bool(bounds) and noise > bounds[1] - 1))
        if value is _whole:
            figures.append(_against_metrics(workload, spread(ratios["upstat"]), spread(ratios[METRICS]), noise))
    return figures


def _against_metrics(workload, upstat, metrics, noise):
    """Of medians: single differences of nearly nothing have no quotient."""
    added = metrics.median - 1
    low, high = sorted(((upstat.low - 1) / added, (upstat.high - 1) / added))
    return Figure("traefik", f"{workload}: added CPU, upstat / {METRICS}", "ratio", (upstat.median - 1) / added, low, high,
                  "medians; the interval is upstat's", 0.05, noisy=noise > 0.05 * added)


def _whole(one, base):
    """What the whole path needs more, as a part of what Traefik needs."""
    return 1 + (one.whole - _mean(base, "whole")) / _mean(base, "traefik")


def _alone(one, base):
    return one.traefik / _mean(base, "traefik")


def _p50(one, base):
    return one.p50 / _mean(base, "p50")


def _p99(one, base):
    return one.p99 / _mean(base, "p99")


def _mean(costs, name):
    return statistics.fmean(getattr(cost, name) for cost in costs)


def _verdict(ratio, noise):
    return f"noise (A/A: within {noise:.3f})" if abs(ratio.median - 1) <= noise or ratio.one else ""
