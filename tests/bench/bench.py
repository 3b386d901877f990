#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The measurements, side by side in one run; scripts/bench says how to call this."""

import argparse
import importlib
import os
import signal
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import figures as show  # noqa: E402
import pages  # noqa: E402
from stage import WORKLOADS  # noqa: E402

TOP = HERE.parents[1]
BUILD = Path(os.environ.get("UPSTAT_BUILD_DIR", TOP / "build"))
KINDS = {"kernel": "programs", "traefik": "proxied", "tls": "probed", "inside": "inside", "agent": "agent", "growth": "growth", "check": "check", "alert": "alert",
         "soak": "soak"}
USUAL = ("kernel", "traefik", "tls", "inside", "agent", "growth", "check")


def _words(text):
    words = text.split(",")
    for word in words:
        if word not in WORKLOADS:
            raise argparse.ArgumentTypeError(f"no such workload: {word}; there are {','.join(WORKLOADS)}")
    return words


def _options():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="upstat's cost, measured on this machine")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; without one: {', '.join(USUAL)}")
    parser.add_argument("--rounds", type=int, default=15, help="of kernel, traefik, tls and growth (15)")
    parser.add_argument("--seconds", type=int, default=2, help="of load in each slice (2)")
    parser.add_argument("--workloads", type=_words, default=list(WORKLOADS),
                        help=f"of traefik, with commas between: {','.join(WORKLOADS)} (all)")
    parser.add_argument("--servers", type=lambda text: [int(word) for word in text.split(",")], default=[10, 100, 1000, 10000],
                        help="of agent and growth (10,100,1000,10000)")
    parser.add_argument("--readme", action="store_true", help="write the tables into tests/bench/RESULTS.md too, and six of their rows into README.md")
    parser.add_argument("--update", action="store_true", help="check: record what is counted now")
    options = parser.parse_args()
    for kind in options.kinds:
        if kind not in KINDS:
            parser.error(f"no such kind: {kind}; there are {', '.join(KINDS)}")
    if options.rounds < 3:
        parser.error("--rounds: fewer than 3 have no interval")
    options.build = BUILD
    options.traefik = os.environ["UPSTAT_TRAEFIK"]
    options.upstat = Path(os.environ.get("UPSTAT_BINARY", BUILD / "upstat"))
    return options


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all parts are stopped
    options = _options()
    failed = False
    for kind in options.kinds or USUAL:
        about = show.machine(options.traefik)
        print(f"== {kind}: {show.machine_line(about)}", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="upstat-bench-") as directory:
            figures, details = importlib.import_module(KINDS[kind]).measure(directory, options)
        print(show.table(figures), flush=True)
        kept = show.save(BUILD / "bench.json", kind, about, figures, details)
        failed = failed or details.get("failed", False)
    print(f"\nall figures and samples: {BUILD / 'bench.json'}")
    if options.readme:
        pages.write(TOP, kept)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
