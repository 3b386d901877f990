# SPDX-License-Identifier: Apache-2.0
"""Figures with their spread, and what they are shown in: a Markdown table and JSON. pages.py writes the pages."""

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


def of_spread(kind, name, unit, values, note="", middle=statistics.median):
    notes = [note] if note else []
    if 1 < len(values) < FEW:
        notes.append(f"the range of {len(values)}")
    if middle is not statistics.median:
        notes.append(middle.__name__.replace("_", " "))
    return Figure(kind, name, unit, *spread(values, middle), "; ".join(notes))


def short(number):
    if number != number:
        return ""
    if number == int(number) or abs(number) >= 1000:
        return f"{number:,.0f}"
    return f"{number:.3f}" if abs(number) < 10 else f"{number:.1f}"


def interval(figure):
    return f"{short(figure.low)} to {short(figure.high)}" if figure.low == figure.low else ""


def table(figures):
    rows = ["| figure | unit | median | 95 % | |", "|---|---|---:|---|---|"]
    rows += [f"| {f.name} | {f.unit} | {short(f.value)} | {interval(f)} | {f.note} |" for f in figures]
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
    return {key: None if value != value else value for key, value in figure._asdict().items()}


def figures_of(kept, kind):
    """Those of the JSON file. A file of an older upstat has more members."""
    return [Figure(**{key: float("nan") if f[key] is None else f[key] for key in Figure._fields})
            for f in kept.get(kind, {"figures": []})["figures"]]
