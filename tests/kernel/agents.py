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


def check_attached(bench):
    """One program a hook, all pinned in one generation, and nothing else below the pin path but generations."""
    said = subprocess.run(["bpftool", "cgroup", "show", str(bench.cgroup.path)], capture_output=True, text=True, check=True).stdout
    assert Counter(line.split()[1] for line in said.splitlines()[1:]) == ONE_EACH, said
    links = list(bench.agent.pin_path.glob("*/links/*"))
    assert len(links) == 3 and len({link.parent for link in links}) == 1, links
    for entry in bench.agent.pin_path.iterdir():
        assert entry.name.startswith("layout-") and (entry / "links").is_dir(), entry
