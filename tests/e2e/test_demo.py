# SPDX-License-Identifier: Apache-2.0
"""The demo of scripts/run: plays its story once without a terminal, and leaves nothing behind however it ends."""

import os
import re
import signal
import subprocess

import pytest

from conftest import BUILD, TOP
from parts.base import wait_for
from parts.cgroup import cgroup2_mount
from parts.upstat import BPFFS


@pytest.fixture
def demo(stack, tmp_path):
    """Starts scripts/run with temporary files of its own, on a host without a Traefik; returns the process and a function
    that gives its output."""
    (tmp_path / "tmp").mkdir()
    out = tmp_path / "demo.log"
    with open(out, "w") as log:
        child = subprocess.Popen([TOP / "scripts/run"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                 env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), "UPSTAT_BUILD_DIR": str(BUILD)})
    stack.callback(child.wait, 30)
    stack.callback(child.terminate)
    return child, out.read_text


def leftovers(pid, tmp_path):
    """Files, cgroups, pins and processes of the demo that ran as `pid`."""
    found = [*(tmp_path / "tmp").iterdir(), *cgroup2_mount().glob(f"upstat-*-{pid}-*"), *BPFFS.glob(f"upstat-*-{pid}-*")]
    processes = subprocess.run(["ps", "-eo", "pid,stat,args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return found + [line for line in processes if str(tmp_path) in line]


def test_the_story_without_a_terminal(demo, tmp_path):
    child, said = demo
    assert child.wait(120) == 0, said()
    states = re.findall(r"shop@file is (\w+)$", said(), re.M)
    assert states == ["pending", "firing", "inactive"], said()
    assert re.search(r"metrics: http://127\.0\.0\.1:\d+/metrics", said())
    assert "20 s instead of 3 min" in said()
    assert leftovers(child.pid, tmp_path) == []


@pytest.mark.parametrize("when", ["starting Traefik", "metrics: ", "turns bad"])
def test_ctrl_c_leaves_nothing_behind(demo, tmp_path, when):
    child, said = demo
    wait_for(lambda: when in said(), 60, lambda: f"{when!r} in:\n{said()}")
    child.send_signal(signal.SIGINT)
    assert child.wait(30) == 130, said()
    assert "Traceback" not in said()
    assert leftovers(child.pid, tmp_path) == []
