#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the kernels under test have said, as a Markdown table and as JSON.

Exit: 0 everything passed, 1 something did not.
"""

import argparse
import json
import re
import sys
from pathlib import Path

WITH_TRAEFIK = ("5.10",)  # as in `run`
OLD = "counted while an agent runs (to go on without one takes Linux 5.15)"
BEGIN, END = "=== upstat begins", "=== upstat ends"
README_BEGIN, README_END = "<!-- kernels: begin -->", "<!-- kernels: end -->"
PROGRAMS = ("egress", "ingress", "sockops")  # each has a column
# must be taken too
OTHERS = ("probe", "probed", "sockets", "egress-shared", "ingress-shared", "sockops-shared", "owner", "owner_plain",
          "sample_egress", "sample_ingress")


def facts(log):
    """The lines between the marks; whether the second mark is there, because a kernel can die on the way."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    begins = [number for number, line in enumerate(lines) if line.startswith(BEGIN)]
    body = lines[begins[-1] + 1:] if begins else []
    return [line for line in body if not line.startswith(END)], any(line.startswith(END) for line in body)


def pairs(words):
    """{"logged": "5", ...} of ["logged", "5", ...]."""
    return dict(zip(words[::2], words[1::2]))


def read(name, log):
    """One kernel's row. A fact that is missing stays None: the kernel did not come so far."""
    lines, ended = facts(log)
    row = {"name": name, "kernel": None, "programs": {}, "traffic": None, "sockets": None, "tls": None, "peer": None, "fallbacks": [], "notes": [],
           "said": [], "ended": ended}
    for line in lines:
        what, _, rest = line.partition(" ")
        words = rest.split()
        if what == "kernel":
            row["kernel"] = rest
        elif what == "program":
            row["programs"][words[0].removeprefix("upstat_")] = {
                "verified": int(words[2]) if words[1] == "verified" else None, "verdict": " ".join(words[1:])}
        elif what == "traffic":
            row["traffic"] = {"verdict": words[0], **pairs(words[1:])}
        elif what in ("sockets", "tls"):
            row[what] = rest
        elif what == "peer":
            row["peer"] = peer(rest)
        elif what == "fallback":
            row["fallbacks"].append(rest)
        elif what == "note":
            row["notes"].append(rest)
        elif what == "|":
            row["said"].append(rest)
    return row


def peer(text):
    """From "exit 0 662 passed, 0 failed"; nothing passed where the tool did not come to its summary."""
    counts = re.search(r"(\d+) passed, (\d+) failed", text)
    return {"said": text, "exit": int(re.search(r"exit (\d+)", text)[1]),
            "passed": int(counts[1]) if counts else 0, "failed": int(counts[2]) if counts else 0}


def faults(row, what):
    """Sentences about what did not pass."""
    if not row["ended"]:
        yield "it did not come to the end of the test"
    for program in (*PROGRAMS, *OTHERS):
        verdict = row["programs"].get(program, {"verified": None, "verdict": "was not loaded"})
        if verdict["verified"] is None:
            yield f"{program}: {verdict['verdict']}"
    if what == "load":
        return
    traffic = row["traffic"] or {"verdict": "was not tried"}
    if traffic["verdict"] != "exact":
        yield f"traffic {traffic['verdict']}"
    elif int(traffic["requests"]) != sum(int(traffic[part]) for part in ("counted", "unanswered", "outstanding")):
        yield f"requests are not answers + unanswered + outstanding: {traffic}"
    if row["sockets"] != "shown":
        yield f"sockets: {row['sockets']}"
    if row["name"] in WITH_TRAEFIK and not re.match(r"exact logged (\d+) counted \1 said " + re.escape(OLD), row["tls"] or ""):
        yield f"tls: {row['tls']}"
    said = row["peer"] or {"said": "was not run", "exit": 1, "passed": 0, "failed": 0}
    if said["exit"] or said["failed"] or not said["passed"]:
        yield f"peer: {said['said']}"


def cell_program(row, program):
    verdict = row["programs"].get(program)
    return "-" if verdict is None else f"{verdict['verified']:,}" if verdict["verified"] is not None else "refused"


def cell_cases(row):
    said = row["peer"]
    return "-" if said is None else f"{said['passed']} of {said['passed'] + said['failed']}"


def cell_traffic(row):
    said = row["traffic"]
    if said is None or "logged" not in said:
        return "-" if said is None else said["verdict"]
    return f"{int(said['counted']):,} / {int(said['logged']):,}"


def table(rows):
    """Kernels as rows."""
    lines = ["| Kernel | egress | ingress | sockops | cases passed | responses counted / logged | fell back |",
             "|---|---:|---:|---:|---:|---:|---|"]
    for row in rows:
        name = (row["kernel"] or row["name"]) + (" (the host's)" if row["name"] == "host" else "")
        cells = [name, *(cell_program(row, program) for program in PROGRAMS), cell_cases(row), cell_traffic(row),
                 "; ".join(row["fallbacks"]) or "nothing"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write_between_marks(file, text):
    """Replaces what stands between the two marks of README.md."""
    page = file.read_text()
    if page.count(README_BEGIN) != 1 or page.count(README_END) != 1:
        sys.exit(f"{file}: the marks {README_BEGIN} and {README_END} must stand there once each")
    head, _, rest = page.partition(README_BEGIN)
    tail = rest.partition(README_END)[2]
    file.write_text(f"{head}{README_BEGIN}\n{text}{README_END}{tail}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--what", choices=("load", "all"), default="all")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--readme", type=Path)
    parser.add_argument("logs", type=Path)
    parser.add_argument("names", nargs="+")
    words = parser.parse_args()
    rows = [read(name, words.logs / f"{name}.log") for name in words.names]
    for row in rows:
        row["faults"] = list(faults(row, words.what))
    words.json.write_text(json.dumps(rows, indent=2) + "\n")
    print(table(rows))
    for row in rows:
        for sentence in row["faults"] + [f"note: {note}" for note in row["notes"]]:
            print(f"{row['name']}: {sentence}")
        if row["faults"]:
            print("\n".join(f"    {line}" for line in row["said"]))
    failed = any(row["faults"] for row in rows)
    if words.readme and not failed:
        write_between_marks(words.readme, table(rows))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
