# SPDX-License-Identifier: Apache-2.0
"""Figures with their spread, and what they are shown in: a Markdown table and JSON."""

import json
import os
import platform
import random
import re
import statistics
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


class Spread(NamedTuple):
    """A median and the 95 % interval of it, by bootstrap."""

    median: float
    low: float
    high: float

    @property
    def one(self):
        """Whether a ratio cannot be told from 1."""
        return self.low <= 1 <= self.high


def spread(values, middle=statistics.median, times=2000):
    """middle: another statistic than the median."""
    if len(values) < 2:
        return Spread(values[0], float("nan"), float("nan"))
    dice = random.Random(1)  # the interval of the same values is the same
    middles = sorted(middle(dice.choices(values, k=len(values))) for _ in range(times))
    return Spread(middle(values), middles[int(times * 0.025)], middles[int(times * 0.975)])


class Figure(NamedTuple):
    kind: str
    name: str
    unit: str
    value: float
    low: float = float("nan")
    high: float = float("nan")
    note: str = ""
    bound: float | None = None  # the median's, at most
    upper: float | None = None  # of the interval's upper end, where it is another one
    noisy: bool = False         # the run's own noise is wider than what is asked

    @property
    def verdict(self):
        """Open: the median or the interval lies on both sides."""
        if self.bound is None:
            return ""
        low = self.value if self.low != self.low else self.low
        high = self.value if self.high != self.high else self.high
        reached = self.value <= self.bound and high <= (self.upper or self.bound)
        if self.noisy:
            return f"at most {_short(self.bound)}: open"
        return f"at most {_short(self.bound)}: {'yes' if reached else 'NO' if low > self.bound else 'open'}"


def of_spread(kind, name, unit, values, note="", bound=None, upper=None, middle=statistics.median):
    return Figure(kind, name, unit, *spread(values, middle), note, bound, upper)


def _short(number):
    if number != number:
        return ""
    if number == int(number) or abs(number) >= 1000:
        return f"{number:,.0f}"
    return f"{number:.3f}" if abs(number) < 10 else f"{number:.1f}"


def table(figures):
    rows = ["| | figure | unit | median | 95 % | to reach | |", "|---|---|---|---:|---|---|---|"]
    for f in figures:
        interval = f"{_short(f.low)} to {_short(f.high)}" if f.low == f.low else ""
        rows.append(f"| {f.kind} | {f.name} | {f.unit} | {_short(f.value)} | {interval} | {f.verdict} | {f.note} |")
    return "\n".join(rows)


def said(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return "none"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else "none"


def machine(traefik):
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    version = re.search(r"Version:\s*(\S+)", subprocess.run([traefik, "version"], capture_output=True, text=True, check=False).stdout)
    return {
        "at": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "processor": processor[1] if processor else platform.machine(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "kernel": platform.release(),
        "traefik": version[1] if version else "unknown",
        "nginx": said("nginx", "-v").rpartition("/")[2],
        "clang": said("clang-19", "--version"),
        "gcc": said("g++", "--version"),
    }


def machine_line(about):
    return (f"{about['at']}, {about['cpus']} CPUs of {about['processor']}, load {about['load']:.1f} at the start; Linux "
            f"{about['kernel']}, Traefik {about['traefik']}, nginx {about['nginx']}")


def load_json(path):
    return json.loads(path.read_text()) if path.exists() else {}


def save(path, about, figures, details):
    """Kinds that were not measured this time stay as an earlier run left them, each with its own machine."""
    kept = load_json(path)
    for kind in {f.kind for f in figures}:
        kept[kind] = {"machine": about, "figures": [_as_json(f) for f in figures if f.kind == kind],
                      "details": details.get(kind)}
    path.write_text(json.dumps(kept, indent=1) + "\n")
    return kept


def _as_json(figure):
    return {key: None if value != value else value for key, value in figure._asdict().items() if value is not None}


def markdown(kept):
    """All that the JSON file has, each kind under the machine it was measured on."""
    parts, said = [], None
    for kind in kept.values():
        line = machine_line(kind["machine"])
        nan = float("nan")
        rows = [Figure(**{**f, "low": nan if f["low"] is None else f["low"], "high": nan if f["high"] is None else f["high"]})
                for f in kind["figures"]]
        parts += ([line + ":", ""] if line != said else []) + [table(rows), ""]
        said = line
    return "\n".join(parts).rstrip()


def write_readme(path, text):
    readme = path.read_text()
    if BEGIN not in readme or END not in readme:
        raise SystemExit(f"{path} has no lines {BEGIN} and {END} for the table to stand between")
    head, _, rest = readme.partition(BEGIN)
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")
