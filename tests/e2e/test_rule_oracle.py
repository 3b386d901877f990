# SPDX-License-Identifier: Apache-2.0
"""The agent's rate() and `for` machine against promtool's, on random traces: difference 0.

Every trace is given to rule_trace (tests/tools/rule_trace.cpp: the real measure and judge) and, with what that said as the
expectation, to `promtool test rules` with the alert rule of the runbook. promtool compares samples exactly, bit for bit.
The seed is printed; UPSTAT_ORACLE_SEED repeats a run.
"""

import json
import math
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("UPSTAT_BUILD_DIR", TOP / "build"))
RULE_FILE = TOP / "tests/e2e/data/seed_rule.yml"
RULE = yaml.safe_load(RULE_FILE.read_text())["groups"][0]["rules"][0]
RATIO, THRESHOLD = RULE["expr"].rsplit(" > ", 1)
MATCHING, ALL = RATIO.removesuffix(" * 100").split(" / ")

GROUPS = 60
BACKENDS_A_GROUP = 4
LENGTH = 480_000  # of a trace, in milliseconds

# (suite, the version it had when this was written)
PROMTOOLS = [("bookworm", "2.42"), ("trixie", "2.53"), ("sid", "3.5")]


@pytest.fixture(scope="module", params=PROMTOOLS, ids=[version for _, version in PROMTOOLS])
def promtool(request):
    """The path of one promtool and the dialect that belongs to its version."""
    suite, _ = request.param
    path = shutil.which("promtool") if suite == "bookworm" else unpack_promtool(suite)
    assert path, "promtool is missing: install the package prometheus"
    text = subprocess.run([path, "--version"], check=True, capture_output=True, text=True, timeout=30)
    version = re.search(r"version (\d+)\.(\d+)", text.stdout + text.stderr)
    return path, dialect_of(int(version[1]), int(version[2]))


def unpack_promtool(suite):
    directory = BUILD / "foreign" / suite / "root"
    script = 'source "$1/common.sh"; source "$1/foreign.sh"; foreign_package "$2" promtool "$3"'
    subprocess.run(
        ["bash", "-c", script, "oracle", TOP / "scripts/lib", suite, directory],
        check=True, timeout=300, env={**os.environ, "UPSTAT_BUILD_DIR": str(BUILD)})
    return str(directory / "usr/bin/promtool")


def dialect_of(major, minor):
    if major >= 3:
        return "3.0"
    if minor >= 54:
        return "2.54"
    return "2.51" if minor >= 51 else "2.42"


# --- traces ---


def poll_times(rng, tick):
    """Multiples of the tick: some as regular as a clock, some with jitter and holes."""
    step = rng.choice([5_000, 10_000, 15_000, 30_000])
    regular = rng.random() < 0.4
    times, at = [], 0
    while at <= LENGTH:
        times.append(round(at / tick) * tick)
        at += step
        if not regular:
            at += rng.randint(-step // 3, step // 3)
            if rng.random() < 0.04:
                at += rng.randint(step, 240_000)
    return sorted(set(times))


def totals(rng, polls, rate_of, reset_chance):
    """A counter's total at each poll."""
    value = rng.choice([0, 5, rng.randint(0, 10_000), 10**12 + rng.randint(0, 1000)])
    result = []
    for _ in polls:
        result.append(value)
        value += rate_of()
        if rng.random() < reset_chance:
            value = rng.choice([0, rng.randint(0, 50)])
    return result


def traffic(rng, codes):
    """For each code a function giving the answers of the next poll; the phases change in the trace's course."""
    state = {"left": 0}

    def one(code):
        if state["left"] <= 0:
            state["left"] = rng.randint(5, 60)
            state["volume"] = rng.choice([0, 0, 1, 20, 100, 2_000])
            state["bad"] = rng.choice([0, 0.02, 0.05, 0.06, 0.3, 1])
            state["exact"] = rng.random() < 0.4
        state["left"] -= 1
        mean = state["volume"] * (state["bad"] if 400 <= code < 500 else 1 - state["bad"])
        return round(mean) if state["exact"] else rng.randint(0, round(2 * mean))

    return {code: lambda code=code: one(code) for code in codes}


def backend_series(rng, name, polls, evaluation_interval, births):
    """promtool appends the series of one evaluation step in random order, and sums in the order of their creation.
    Two numbers have the same sum either way; with more series, each is born one evaluation step after the one before
    (in the agent's order, that of code and method), so that there is one order only."""
    few = births == "unseen_until_counted"
    keys = [(code, method) for code in (200, 206, 304, 400, 403, 404, 429, 499, 500, 503) for method in ("GET", "POST")]
    keys = sorted(rng.sample(keys, rng.randint(1, 2) if few else rng.randint(1, 5)))
    rates = traffic(rng, [code for code, _ in keys])
    reset_chance = 0 if few else rng.choice([0, 0, 0.02])
    hole_chance = 0 if few else rng.choice([0, 0, 0.05, 0.3])
    born = 0
    result = []
    for index, (code, method) in enumerate(keys):
        values = totals(rng, polls, rates[code], reset_chance)
        if few:
            values = [value - values[0] for value in values]
            quiet = rng.choice([0, rng.randrange(len(values))])
            values = [max(0, value - values[quiet]) for value in values]
        else:
            if len(keys) <= 2:
                born = rng.choice([0, 0, rng.randrange(LENGTH)])
            elif index > 0:
                step = rng.choice([1, 1, 1, rng.randint(1, 8)])
                last = next((at for at, value in zip(polls, result[-1]["values"]) if value is not None), LENGTH)
                born = (math.ceil(last / evaluation_interval) + step - 1) * evaluation_interval + 1
            values = [
                value if at >= born and (rng.random() >= hole_chance) else None for at, value in zip(polls, values)]
        result.append({"backend": name, "code": code, "method": method, "values": values})
    return result


def make_group(rng):
    tick = rng.choice([1000, 1000, 500, 250, 137, 113])
    evaluation_interval = rng.choice([10_000, 15_000, 20_000, 13_700, 7_001])
    births = rng.choice(["as_given", "as_given", "unseen_until_counted"])
    polls = poll_times(rng, tick)
    series = []
    for index in range(BACKENDS_A_GROUP):
        series += backend_series(rng, f"b{index}@file", polls, evaluation_interval, births)
    return {
        "tick": tick, "births": births, "polls": polls, "series": series, "evaluation_interval": evaluation_interval,
        "evaluations": list(range(0, LENGTH + 1, evaluation_interval))}


# --- what rule_trace says, and the same as a promtool test ---


def run_rule_trace(groups, dialect):
    assert "[3m]" in MATCHING and RULE["for"] == "1m" and 'code=~"4.*"' in MATCHING, "the rule below is the seed's"
    rule = {"codes": "4.*", "window": 180_000, "hold": 60_000, "threshold_percent": float(THRESHOLD)}
    tool = BUILD / "rule_trace"
    assert tool.exists(), f"{tool} is missing: build the target rule_trace"
    run = subprocess.run(
        [tool], input=json.dumps({"dialect": dialect, "rule": rule, "groups": groups}),
        check=True, stdout=subprocess.PIPE, text=True, timeout=120)
    return json.loads(run.stdout)


def promtool_values(rng, group, values):
    """promtool's notation: one element a tick, `_` for no sample. A staleness marker is no sample either, but it would
    bring the series into being, so there is none before the first sample."""
    elements, tick_count, born = [], 0, False
    for at, value in zip(group["polls"], values):
        index = at // group["tick"]
        if index > tick_count:
            elements.append(f"_x{index - tick_count}")
        born = born or value is not None
        hole = "stale" if born and rng.random() < 0.2 else "_"
        elements.append(str(value) if value is not None else hole)
        tick_count = index + 1
    return " ".join(elements)


def go_float(value):
    """As Go's %v prints it, for the values that occur."""
    return repr(value).removesuffix(".0")


def samples(backends, value_of):
    return [
        {"labels": f'{{backend="{name}"}}', "value": value_of(backend)}
        for name, backend in backends.items() if value_of(backend) is not None]


def alerts_series(name, backend, state):
    return (f'{{__name__="{name}",alertname="{RULE["alert"]}",backend="{backend}",severity="critical"' +
            (f',alertstate="{state}"}}' if state else "}"))


def firing_alert(backend, percent):
    def render(text):
        text = text.replace("{{ $labels.instance }}", "").replace("{{ $value }}", go_float(percent))
        return text.replace("{{ $labels }}", f"map[backend:{backend}]")

    return {
        "exp_labels": {**RULE["labels"], "backend": backend},
        "exp_annotations": {key: render(text) for key, text in RULE["annotations"].items()}}


def number(value):
    return None if value == "NaN" else value


def value_queries(backends):
    """NaN equals nothing in promtool, so it is asked for by `!= bool`."""
    with_ratio = {name: backend for name, backend in backends.items() if backend["matching"] is not None}
    return [
        (MATCHING, samples(backends, lambda backend: backend["matching"])),
        (ALL, samples(backends, lambda backend: backend["all"])),
        (f"({RATIO}) == ({RATIO})", samples(backends, lambda backend: number(backend["percent"]))),
        (f"({RATIO}) != bool ({RATIO})", samples(with_ratio, lambda backend: int(backend["percent"] == "NaN"))),
    ]


def value_queries_above_zero(backends):
    """What the agent has not seen yet has no sample there, where Prometheus has the 0 that was exported."""
    return [
        (f"({expr}) > 0", samples(backends, lambda backend, key=key: number(backend[key]) or None))
        for key, expr in (("matching", MATCHING), ("all", ALL), ("percent", RATIO))]


def promtool_tests(evaluation, births):
    """One evaluation's expectations."""
    eval_time = f'{evaluation["at"]}ms'
    backends = evaluation["backends"]
    active = {name: backend for name, backend in backends.items() if backend["state"] != "inactive"}
    queries = value_queries(backends) if births == "as_given" else value_queries_above_zero(backends)
    queries += [
        ("ALERTS", [
            {"labels": alerts_series("ALERTS", name, backend["state"]), "value": 1}
            for name, backend in active.items()]),
        ("ALERTS_FOR_STATE", [
            {"labels": alerts_series("ALERTS_FOR_STATE", name, None), "value": backend["active_since"] // 1000}
            for name, backend in active.items()]),
    ]
    alert_test = {
        "eval_time": eval_time, "alertname": RULE["alert"],
        "exp_alerts": [
            firing_alert(name, backend["percent"])
            for name, backend in backends.items() if backend["state"] == "firing"]}
    return alert_test, [{"eval_time": eval_time, "expr": expr, "exp_samples": exp} for expr, exp in queries]


def promtool_file(directory, seed, evaluation_interval, groups_and_results):
    rng = random.Random(seed)
    tests = []
    for group, result in groups_and_results:
        pairs = [promtool_tests(evaluation, group["births"]) for evaluation in result]
        tests.append({
            "interval": f'{group["tick"]}ms',
            "input_series": [{
                "series": 'traefik_backend_requests_total{backend="%s",code="%d",method="%s",protocol="http"}' %
                          (series["backend"], series["code"], series["method"]),
                "values": promtool_values(rng, group, series["values"])} for series in group["series"]],
            "alert_rule_test": [alert for alert, _ in pairs],
            "promql_expr_test": [query for _, queries in pairs for query in queries]})
    path = directory / f"every_{evaluation_interval}ms.json"  # JSON is YAML
    path.write_text(json.dumps({
        "rule_files": [str(RULE_FILE)], "evaluation_interval": f"{evaluation_interval}ms", "tests": tests}))
    return path


def run_promtool(path, files):
    return subprocess.run(
        [path, "test", "rules", *files], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)


def by_interval(groups, results):
    """promtool has one evaluation interval a file."""
    intervals = {}
    for group, result in zip(groups, results):
        intervals.setdefault(group["evaluation_interval"], []).append((group, result))
    return intervals


def test_random_traces(promtool, tmp_path):
    path, dialect = promtool
    seed = int(os.environ.get("UPSTAT_ORACLE_SEED", random.randrange(2**32)))
    print(f"UPSTAT_ORACLE_SEED={seed} dialect={dialect}")
    rng = random.Random(seed)
    groups = [make_group(rng) for _ in range(GROUPS)]
    results = run_rule_trace(groups, dialect)

    # The traces must be worth the comparison.
    seen = [backend for result in results for evaluation in result for backend in evaluation["backends"].values()]
    assert GROUPS * BACKENDS_A_GROUP >= 200
    for state in ("inactive", "pending", "firing"):
        assert sum(backend["state"] == state for backend in seen) > 100, state
    assert sum(backend["percent"] == "NaN" for backend in seen) > 100
    assert sum(backend["matching"] is None and backend["all"] is not None for backend in seen) > 100

    files = [
        promtool_file(tmp_path, seed, interval, pairs) for interval, pairs in by_interval(groups, results).items()]
    run = run_promtool(path, files)
    print(f"{len(seen)} evaluations of {GROUPS * BACKENDS_A_GROUP} traces compared")
    assert run.returncode == 0 and run.stdout.count("SUCCESS") == len(files), run.stdout[:6000]


def test_promtool_compares_bit_for_bit(promtool, tmp_path):
    """The comparison above is worth something only if promtool sees a difference in the last bit."""
    path, dialect = promtool
    rng = random.Random(1)
    group = make_group(rng)
    result = run_rule_trace([group], dialect)[0]
    backend = next(
        backend for evaluation in result for backend in evaluation["backends"].values()
        if (number(backend["percent"]) or 0) > 0)
    exact = promtool_file(tmp_path, 1, group["evaluation_interval"], [(group, result)])
    assert run_promtool(path, [exact]).returncode == 0
    backend["percent"] = math.nextafter(backend["percent"], math.inf)
    off = promtool_file(tmp_path, 1, group["evaluation_interval"], [(group, result)])
    run = run_promtool(path, [off])
    assert run.returncode != 0 and "got" in run.stdout, run.stdout
