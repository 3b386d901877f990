# SPDX-License-Identifier: Apache-2.0
"""Agents that come and go on one bench: other binaries, other flags, none at all."""

import os
import subprocess
from collections import Counter
from pathlib import Path

from conftest import BUILD
from parts.upstat import spell

OWN = Path(os.environ.get("UPSTAT_BINARY", BUILD / "upstat"))
ONE_EACH = Counter(["cgroup_inet_ingress", "cgroup_inet_egress", "cgroup_sock_ops"])


def set_command(bench, binary=OWN, flags=None):
    bench.agent.flags.update(flags or {})
    bench.agent.process.command = [str(binary), "run", *spell(bench.agent.flags)]


def run_again(bench, binary=OWN, flags=None, end="stop"):
    """Ends the agent and starts another on the same pins and state. Counting goes on in between."""
    if end == "stop":
        bench.agent.process.stop()
    else:
        bench.agent.kill()
    set_command(bench, binary, flags)
    bench.agent.start()


def run_anew(bench, binary=OWN, flags=None):
    """The same, after everything was taken off the host and forgotten."""
    bench.agent.process.stop()
    forget(bench)
    set_command(bench, binary, flags)
    bench.agent.start()


def forget(bench):
    bench.agent.detach()
    (Path(bench.agent.flags["--state.path"]) / "state.json").unlink(missing_ok=True)


def check_attached(bench, in_flight=False):
    """One program a hook, all pinned in one generation, and nothing else below the pin path but generations and the Traefiks'
    numbers. With requests `in_flight`, previous generations may have left their ingress programs."""
    said = subprocess.run(["bpftool", "cgroup", "show", str(bench.cgroup.path)], capture_output=True, text=True, check=True).stdout
    attached = Counter(line.split()[1] for line in said.splitlines()[1:])
    links = list(bench.agent.pin_path.glob("*/links/*"))
    newest = [link for link in links if link.parent in {other.parent for other in links if other.name.endswith("-egress")}]
    left = [link for link in links if link not in newest]
    assert len(newest) == 3 and all(link.name.endswith("-ingress") for link in left), links
    assert attached == ONE_EACH + Counter({"cgroup_inet_ingress": len(left)}), said
    assert in_flight or not left, left
    zones, others = [], []
    for entry in bench.agent.pin_path.iterdir():
        (zones if entry.is_symlink() else others).append(entry)
    assert sorted(zone.name for zone in zones) == [f"zone-{number}" for number in range(len(zones))] and zones, zones
    assert all(entry.name.startswith("layout-") and (entry / "links").is_dir() for entry in others), others
