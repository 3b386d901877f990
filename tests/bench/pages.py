#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The pages that show figures: all tables in tests/bench/RESULTS.md, and six of their rows in README.md.

    tests/bench/pages.py [JSON]    writes both pages from the JSON file of an earlier run; build/bench.json without one

What the file does not have stays on the pages as it stands: each kind has marks of its own, and so has each row.
"""

import os
import sys
from pathlib import Path
from typing import NamedTuple

import figures as show

TOP = Path(__file__).resolve().parents[2]


class Row(NamedTuple):
    """One row of README.md. A part is a text for the figure, and what the figure is called in its table."""

    what: str
    kind: str
    main: tuple
    beside: tuple = ()


WHOLE = "CPU of the whole path added to Traefik's"


def _proxied(what, workload):
    return Row(what, "traefik", ("{} times a plain Traefik's", f"{workload}: upstat, {WHOLE}"),
               (("Traefik's own metrics: {}", f"{workload}: Traefik's metrics (services), {WHOLE}"),
                ("its JSON access log: {}", f"{workload}: JSON access log, {WHOLE}")))


ROWS = (
    _proxied("CPU of a request with a small response", "small"),
    _proxied("CPU of a request with a 300 KB response", "large"),
    _proxied("CPU of a WebSocket message and its echo", "websockets"),
    Row("Kernel programs, per request with a small response", "kernel", ("{} ns", "small responses: all programs, beyond empty ones"),
        (("with 300 KB: {} ns", "300 KB responses: all programs, beyond empty ones"),)),
    Row("The agent with 100 servers", "agent", ("{} % of a core", "100 servers: CPU, poll each 5 s"),
        (("memory: {} MiB", "100 servers: resident memory"), ("with 10,000 servers: {} %", "10,000 servers: CPU, poll each 5 s"),
         ("{} MiB", "10,000 servers: resident memory"))),
    Row("First bad response to firing alert", "alert", ("{} s", "first bad response to firing, agent"),
        (("Prometheus: {} s", "first bad response to firing, Prometheus"),
         ("Alertmanager's receiver: {} s", "first bad response to firing, Alertmanager"))),
)


HEAD = "| | figure | 95 % | beside it | measured by |\n|---|---|---|---|---|\n"


def row_text(row, figures):
    """The row as a line of Markdown; None where a figure of it is missing."""
    by_name = {figure.name: figure for figure in figures}
    if any(name not in by_name for _, name in (row.main, *row.beside)):
        return None
    text, name = row.main
    beside = ", ".join(text.format(show.short(by_name[name].value)) for text, name in row.beside)
    return (f"| {row.what} | {text.format(show.short(by_name[name].value))} | {show.interval(by_name[name])} | {beside} "
            f"| `scripts/bench {row.kind}` |")


def marks(name):
    return f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"


def between(page, name, text):
    """The page with this text between two marks."""
    begin, end = marks(name)
    if page.count(begin) != 1 or page.count(end) != 1:
        raise SystemExit(f"the marks {begin.strip()} and {end} must stand on the page once each")
    head, _, rest = page.partition(begin)
    return head + begin + text + end + rest.partition(end)[2]


def results(page, kept):
    """RESULTS.md with the tables of all kinds that the JSON file has."""
    for kind, one in kept.items():
        page = between(page, kind, f"{show.machine_line(one['machine'])}.\n\n{show.table(show.figures_of(kept, kind))}\n")
    return page


def readme(page, kept):
    """README.md with those of the six rows that the JSON file has."""
    begin, end = marks("bench")
    table = page.partition(begin)[2].partition(end)[0].splitlines()
    standing = {line.split("|")[1].strip(): line for line in table if line.startswith("| ")}
    lines = [row_text(row, show.figures_of(kept, row.kind)) or standing.get(row.what) for row in ROWS]
    return between(page, "bench", HEAD + "".join(f"{line}\n" for line in lines if line))


def write(top, kept):
    for path, change in ((top / "tests/bench/RESULTS.md", results), (top / "README.md", readme)):
        path.write_text(change(path.read_text(), kept))


if __name__ == "__main__":
    build = Path(os.environ.get("UPSTAT_BUILD_DIR", TOP / "build"))
    write(TOP, show.load_json(Path(sys.argv[1]) if len(sys.argv) > 1 else build / "bench.json"))
