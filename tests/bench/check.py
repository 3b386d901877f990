# SPDX-License-Identifier: Apache-2.0
"""`check`: counted instructions, which do not depend on the machine's mood, against tests/bench/record.json.

The verifier's steps are those of this kernel, so they are recorded by kernel; what was never recorded is only shown.
The way of a poll through the rooms, and the text of a page, are counted by callgrind, with so many servers that a step
too many for each shows.
It fails (exit 1) where a count is more than 2 % above its record, and names each such count; fewer is fine. --update
records what is counted now and keeps what other kernels' runs recorded.
"""

import json
import platform
import re
import subprocess
from pathlib import Path

import bpf
from figures import Figure, said
from stage import Programs

RECORD = Path(__file__).resolve().parent / "record.json"
MOST = 1.02
SERVERS = (10, 100)
POLLS = 10


def measure(directory, options):
    counted = {**_programs(directory, options), **_rooms(directory, options)}
    compilers = f"{said('clang-19', '--version')}, {said('g++', '--version')}"
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if options.update:
        record |= {**counted, "compilers": compilers}
        RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    figures = [_figure(name, count, record.get(name)) for name, count in counted.items()]
    grown = [name for name, count in counted.items() if count > MOST * record.get(name, count)]
    for name in grown:
        print(f"Grown: {name}: {counted[name]:,} instructions, {record[name]:,} are recorded")
    if grown:
        if compilers != record.get("compilers"):
            print(f"The record is of other compilers ({record.get('compilers', 'it does not say which')}) than these: {compilers}.")
        print("Find out why; where it is worth it, say so in the commit and run `scripts/bench check --update`.")
    return figures, {"counted": counted, "failed": bool(grown)}


def _figure(name, count, recorded):
    if recorded is None:
        return Figure("check", name, "instructions", count, note="never recorded: scripts/bench check --update")
    return Figure("check", name, "instructions", count, note=f"recorded {recorded:,}, {count / recorded - 1:+.2%}")


def _programs(directory, options):
    kernel = ".".join(platform.release().split(".")[:2])
    with Programs(directory, options.upstat) as programs:
        loaded = programs.by_name["upstat"]
        return {**{f"verifier of Linux {kernel}, {hook}": loaded[hook].verified for hook in bpf.HOOKS},
                **{f"program {hook}": loaded[hook].instructions for hook in bpf.HOOKS}}


def _rooms(directory, options):
    counted = {}
    for servers in SERVERS:
        polls = _counted_in("one_poll", directory, options, servers)
        counted[f"a poll through the rooms, {servers} servers"] = polls // POLLS
        counted[f"a page, {servers} servers"] = _counted_in("one_scrape", directory, options, servers)
    return counted


def _counted_in(function, directory, options, servers):
    output = Path(directory) / f"callgrind.{function}.{servers}"
    done = subprocess.run(["valgrind", "--tool=callgrind", "--collect-atstart=no", f"--toggle-collect={function}",
                           f"--callgrind-out-file={output}", options.build / "poll_cost", str(servers), str(POLLS)],
                          check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"callgrind ended with {done.returncode}:\n{done.stderr}"
    count = int(re.search(r"^(?:summary|totals): (\d+)", output.read_text(), re.MULTILINE)[1])
    assert count > 0, f"callgrind has not met {function}"
    return count
