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


FEW = 6  # of fewer values no bootstrap says much: their range is shown


def spread(values, middle=statistics.median, times=2000):
    """middle: another statistic than the median. values: one each, or a list of those that belong together (a round's),
    which are drawn together."""
    groups = [value if isinstance(value, list) else [value] for value in values]
    flat = [value for group in groups for value in group]
    if len(groups) < 2:
        return Spread(middle(flat), float("nan"), float("nan"))
    if len(groups) < FEW:
        return Spread(middle(flat), min(flat), max(flat))
    dice = random.Random(1)  # the interval of the same values is the same
    middles = sorted(middle([value for group in dice.choices(groups, k=len(groups)) for value in group]) for _ in range(times))
    return Spread(middle(flat), middles[int(times * 0.025)], middles[int(times * 0.975)])


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
    noise: float = 0.0          # of the run's A/A, in the value's unit

    @property
    def verdict(self):
        """Open: it lies on both sides, by its interval or by the run's noise."""
        if self.bound is None:
            return ""
        low = self.value if self.low != self.low else self.low
        high = self.value if self.high != self.high else self.high
        upper = self.upper or self.bound
        if min(low, self.value - self.noise) > self.bound:
            return f"at most {_short(self.bound)}: NO"
        reached = self.value <= self.bound and max(high, self.value + self.noise) <= upper
        return f"at most {_short(self.bound)}: {'yes' if reached else 'open'}"


def of_spread(kind, name, unit, values, note="", bound=None, upper=None, middle=statistics.median):
    notes = [note] if note else []
    if 1 < len(values) < FEW:
        notes.append(f"the range of {len(values)}")
    if middle is not statistics.median:
        notes.append(middle.__name__.replace("_", " "))
    return Figure(kind, name, unit, *spread(values, middle), "; ".join(notes), bound, upper)


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


def version_in(text):
    found = re.search(r"\d+\.\d+\S*", text)
    return found[0].rstrip(",") if found else "none"


def machine(traefik):
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    version = re.search(r"Version:\s*(\S+)", subprocess.run([traefik, "version"], capture_output=True, text=True, check=False).stdout)
    return {
        "at": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "commit": said("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"),
        "processor": processor[1] if processor else platform.machine(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "kernel": platform.release(),
        "traefik": version[1] if version else "unknown",
        "nginx": said("nginx", "-v").rpartition("/")[2],
        "mtail": version_in(said("mtail", "--version")),
        "prometheus": version_in(said("prometheus", "--version")),
        "alertmanager": version_in(said("prometheus-alertmanager", "--version")),
        "clang": said("clang-19", "--version"),
        "gcc": said("g++", "--version"),
    }


def machine_line(about):
    return (f"{about['at']}, upstat {about['commit']}, {about['cpus']} CPUs of {about['processor']}, load {about['load']:.1f} "
            f"at the start; Linux {about['kernel']}, Traefik {about['traefik']}, nginx {about['nginx']}, mtail "
            f"{about['mtail']}, Prometheus {about['prometheus']}, Alertmanager {about['alertmanager']}")


def load_json(path):
    return json.loads(path.read_text()) if path.exists() else {}


def save(path, kind, about, figures, details):
    """Kinds that were not measured this time stay as an earlier run left them, each with its own machine."""
    kept = load_json(path)
    kept[kind] = {"machine": about, "figures": [_as_json(f) for f in figures], "details": details}
    path.write_text(json.dumps(kept, indent=1) + "\n")
    return kept


def _as_json(figure):
    return {key: None if value != value else value for key, value in figure._asdict().items() if value is not None}


def markdown(kept):
    """All that the JSON file has: first what the figures to reach say, then each kind under the machine it was measured on."""
    figures = {kind: [_from_json(f) for f in one["figures"]] for kind, one in kept.items()}
    asked = [f for each in figures.values() for f in each if f.bound is not None and f.kind != "check"]
    parts, said = ["What is asked for:", "", table(asked), ""], None
    for kind, one in kept.items():
        line = machine_line(one["machine"])
        parts += ([line + ":", ""] if line != said else []) + [table(figures[kind]), ""]
        said = line
    return "\n".join(parts).rstrip()


def _from_json(f):
    return Figure(**{key: float("nan") if value is None else value for key, value in f.items()})


def write_readme(path, text):
    readme = path.read_text()
    if BEGIN not in readme or END not in readme:
        raise SystemExit(f"{path} has no lines {BEGIN} and {END} for the table to stand between")
    head, _, rest = readme.partition(BEGIN)
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")
