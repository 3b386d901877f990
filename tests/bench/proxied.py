# SPDX-License-Identifier: Apache-2.0
"""`traefik`: what a proxied request costs, with nothing, with upstat, and with what else counts answers.

Each configuration has its Traefik, nginx and wrk. A shared machine's speed changes from second to second, by more than
what is looked for: so all configurations are under load in one and the same round, each for WINDOW, in a random order
that is drawn again and again; whose turn it is not has its wrk stopped. A round gives one ratio to the plain one, and
the programs stand on another of the plain processes in each round. The plain one is there three times: what those
differ by is noise, and so is any difference within. Latency is taken in slices of its own, since a stopped wrk's is
none.

CPU is that of the whole path (Traefik, nginx, wrk), because on the loopback the programs that see a packet arrive run
on the sender's time; the difference is set against Traefik's own CPU. Traefik's CPU alone is shown beside it.
"""

import os
import random
import signal
import time
from contextlib import ExitStack
from typing import NamedTuple

from figures import Figure, of_spread, spread
from stage import WORKLOADS, Path, Programs, cpu_us

WINDOW = 0.05  # seconds
IDLE = 2.0     # longer than one turn of all configurations: a pause closes no connection

PLAIN = ("plain", "plain again", "plain, a third time", "empty programs", "upstat")  # roles of equal processes
PROGRAMS = {"empty programs": "empty", "upstat": "upstat"}
NOISE = PLAIN[1:3]
_LABELS = {"addServicesLabels": True, "addEntryPointsLabels": False}
METRICS = "Traefik's metrics (services)"
OTHERS = {
    METRICS: {"more": {"metrics": {"prometheus": _LABELS}}},
    "Traefik's metrics (services, routers)": {"more": {"metrics": {"prometheus": {**_LABELS, "addRoutersLabels": True}}}},
    "JSON access log": {"log": True},
    "JSON access log and mtail": {"mtail": True},
}


class Cost(NamedTuple):
    """One configuration in one round: microseconds a request, milliseconds of latency."""

    traefik: float
    whole: float  # Traefik, nginx and wrk together
    requests: int
    p50: float
    p99: float


def measure(directory, options):
    with Programs(directory, options.upstat) as programs, ExitStack() as stack:
        def path(name, **more):
            return stack.enter_context(Path(directory, options.traefik, name, idle=IDLE, **more))

        equal = [path(f"plain-{i}") for i in range(len(PLAIN))]
        others = {role: path(f"other-{i}", **more) for i, (role, more) in enumerate(OTHERS.items())}
        figures, details = [], {}
        for workload in options.workloads:
            rounds = [_round(programs, equal, others, WORKLOADS[workload], options.seconds, number)
                      for number in range(options.rounds + 1)][1:]  # the first one warms up
            figures += figures_of(workload, rounds)
            details[workload] = [{name: cost._asdict() for name, cost in each.items()} for each in rounds]
        return figures, details


def _round(programs, equal, others, workload, seconds, number):
    """Role -> Cost. Each process has each role in turn."""
    paths = {role: equal[(number + i) % len(equal)] for i, role in enumerate(PLAIN)} | others
    with ExitStack() as stack:
        for role, which in PROGRAMS.items():
            stack.enter_context(programs.on(paths[role].cgroup, which))
        counted = programs.answers()
        used = _interleaved(paths, workload, seconds)
        latency = {role: paths[role].load.run(paths[role].url, workload, 1) for role in random.sample(list(paths), len(paths))}
        paths["upstat"].traefik.drain()
        requests = used["upstat"][2] + latency["upstat"].requests
        counted = programs.answers() - counted
        # wrk does not count what is under way when it ends, and has been answered too.
        assert 0 <= counted - requests <= 4 * workload.connections, (
            f"upstat counted {counted} answers, wrk {requests}: not a measurement of upstat at work")
    for path in paths.values():
        path.forget_log()
    return {role: Cost(*used[role], latency[role].p50, latency[role].p99) for role in paths}


def _interleaved(paths, workload, seconds):
    """role -> (us a request of Traefik, of the whole path, requests)."""
    try:
        before = {role: (cpu_us(path.cgroup), cpu_us(path.around)) for role, path in paths.items()}
        for path in paths.values():
            path.load.start(path.url, workload, 600)
        time.sleep(0.5)
        _take_turns([path.load for path in paths.values()], seconds)
        answered = {role: path.load.end().requests for role, path in paths.items()}
    finally:
        for path in paths.values():
            path.load.kill()
    used = {}
    for role, path in paths.items():
        traefik, around = cpu_us(path.cgroup) - before[role][0], cpu_us(path.around) - before[role][1]
        used[role] = (traefik / answered[role], (traefik + around) / answered[role], answered[role])
    return used


def _take_turns(loads, seconds):
    os.setpriority(os.PRIO_PROCESS, 0, -10)  # a turn is to end in time, however busy the machine
    try:
        for load in loads:
            load.send(signal.SIGSTOP)
        for _ in range(int(seconds / WINDOW)):
            for load in random.sample(loads, len(loads)):
                load.send(signal.SIGCONT)
                time.sleep(WINDOW)
                load.send(signal.SIGSTOP)
        for load in loads:
            load.send(signal.SIGCONT)
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, 0)


def figures_of(workload, rounds):
    plain = [each["plain"] for each in rounds]

    def row(name, unit, values, note="", bound=None, upper=None):
        return of_spread("traefik", f"{workload}: {name}", unit, values, note, bound, upper)

    figures = [row("plain Traefik, CPU", "us/request", [one.traefik for one in plain]),
               row("plain Traefik, p50", "ms", [one.p50 for one in plain]),
               row("plain Traefik, p99", "ms", [one.p99 for one in plain])]
    for what, value in (("CPU, whole path", _whole), ("CPU, Traefik alone", _alone), ("p50", _p50), ("p99", _p99)):
        ratios = {role: [value(each[role], each["plain"]) for each in rounds] for role in list(rounds[0]) if role != "plain"}
        noise = max(abs(edge - 1) for role in NOISE for edge in spread(ratios[role])[1:])
        for role in (*PLAIN[1:], *OTHERS):
            note = "" if role in NOISE else _verdict(spread(ratios[role]), noise)
            bounds = (1.01, 1.02) if role == "upstat" and value is _whole else ()
            figure = row(f"{role}, {what}", "ratio to plain", ratios[role], note, *bounds)
            figures.append(figure._replace(noisy=bool(bounds) and noise > bounds[1] - 1))
        if value is _whole:
            figures.append(_against_metrics(workload, spread(ratios["upstat"]), spread(ratios[METRICS]), noise))
    return figures


def _against_metrics(workload, upstat, metrics, noise):
    """Of medians: single differences of nearly nothing have no quotient."""
    added = metrics.median - 1
    return Figure("traefik", f"{workload}: added CPU, upstat / {METRICS}", "ratio", (upstat.median - 1) / added,
                  (upstat.low - 1) / added, (upstat.high - 1) / added, "medians; the interval is upstat's", 0.05,
                  noisy=noise > 0.05 * added)


def _whole(one, plain):
    """What the whole path needs more, as a part of what Traefik needs."""
    return 1 + (one.whole - plain.whole) / plain.traefik


def _alone(one, plain):
    return one.traefik / plain.traefik


def _p50(one, plain):
    return one.p50 / plain.p50


def _p99(one, plain):
    return one.p99 / plain.p99


def _verdict(ratio, noise):
    return f"noise (A/A: within {noise:.3f})" if abs(ratio.median - 1) <= noise or ratio.one else ""
