# SPDX-License-Identifier: Apache-2.0
"""Of `kernel`: what the programs' time in Traefik is made of. cuts.bpf.c cuts the way of a packet off behind each of its
parts; each program is timed in vivo (bpf_stats), in slices of random order, through the same Traefik with the same load.
A part's cost is what a program has beyond the one that goes one part less far, a request, both hooks.

The connections' events are followed by the whole program in all of them, so that each finds what it would.
"""

import random

import bpf
from figures import of_spread
from stage import WORKLOADS

STEPS = {  # what a program does beyond the one before it: its programs by hook
    "whose packet: the socket and its port": {"ingress": "side", "egress": "side"},
    "the headers of servers' packets": {"ingress": "headers", "egress": "headers"},
    "the socket's state, from its storage": {"ingress": "storage", "egress": "storage"},
    "the payload: status line, request's head": {"ingress": "status_line", "egress": "request_head"},
    "the state locked and written, the counts": None,
}
HOOKS = ("ingress", "egress")


def measure(programs, path, options):
    """[{step: ns a request}], one a round."""
    by_step = {"empty programs": programs.by_name["empty"], **_load(programs, options.build)}
    return [_round(programs, path, by_step, options.seconds) for _ in range(options.rounds)]


def _load(programs, build):
    loaded = bpf.load(build / "cuts.bpf.o", programs.agent.pin_path)
    return {step: {hook: loaded[names[hook]] for hook in HOOKS} if names else programs.by_name["upstat"]
            for step, names in STEPS.items()}


def _round(programs, path, by_step, seconds):
    return {step: _sample(programs, path, by_step[step], seconds) for step in random.sample(list(by_step), len(by_step))}


def _sample(programs, path, of_hooks, seconds):
    """ns a request, both hooks; the connections begin and end while the programs are there."""
    timed = {of_hooks[hook] for hook in HOOKS}  # one program can be on both
    whole = {"sockops": programs.by_name["upstat"]["sockops"]}
    with bpf.attached({**whole, **{hook: of_hooks[hook] for hook in HOOKS}}, path.cgroup.path):
        before = sum(program.runs().ns for program in timed)
        answered = path.load().run(path.url, WORKLOADS["small"], seconds)
        path.traefik.drain()
        after = sum(program.runs().ns for program in timed)
    return (after - before) / answered.requests


def figures_of(rounds):
    figures, before = [], "empty programs"
    for step in STEPS:
        figures.append(of_spread("kernel", f"small responses, of which: {step}", "ns/request",
                                 [each[step] - each[before] for each in rounds]))
        before = step
    return figures
