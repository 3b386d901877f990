# SPDX-License-Identifier: Apache-2.0
"""The demo of scripts/run: plays its story once without a terminal, and leaves nothing behind however it ends."""

import os
import re
import signal
import subprocess

import pytest

from conftest import BUILD, TOP
from parts.base import Process, unique_name, wait_for
from parts.cgroup import cgroup2_mount
from parts.namespace import PidNamespace
from parts.rig import Rig
from parts.upstat import BPFFS, Upstat

# Before a command: it sees no process of this host, so no Traefik either. Ctrl-C goes through to it.
ALONE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def started(stack, tmp_path, command):
    """scripts/run with a directory for temporary files of its own. Should it choose the agent, this host's state is not touched."""
    (tmp_path / "tmp").mkdir()
    process = Process("demo", command, tmp_path, env={
        "TMPDIR": str(tmp_path / "tmp"), "UPSTAT_BUILD_DIR": str(BUILD), "UPSTAT_STATE_PATH": str(tmp_path / "tmp" / "state"),
        "UPSTAT_BPF_PIN_PATH": str(BPFFS / unique_name())})
    stack.callback(process.stop, grace=30)
    return process.start()


@pytest.fixture
def neighbour(stack, tmp_path, traefik_binary):
    """Another Traefik of this host."""
    return stack.enter_context(Rig(tmp_path / "neighbour", traefik_binary))


@pytest.fixture
def demo(stack, tmp_path, neighbour):
    return started(stack, tmp_path, [TOP / "scripts/run", "--demo"])


def leftovers(pid, tmp_path):
    """Files, cgroups, pins and processes of the demo that ran as `pid`."""
    found = [*(tmp_path / "tmp").iterdir(), *cgroup2_mount().glob(f"upstat-*-{pid}-*"), *BPFFS.glob(f"upstat-*-{pid}-*")]
    processes = subprocess.run(["ps", "-eo", "pid,stat,args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return found + [line for line in processes if str(tmp_path / "tmp") in line]


def test_the_story_without_a_terminal(demo, tmp_path):
    assert demo.wait(120) == 0, demo.text()
    said = demo.text()
    assert re.findall(r"shop@file is (\w+)$", said, re.M) == ["pending", "firing", "inactive"], said
    assert re.search(r"metrics: http://127\.0\.0\.1:\d+/metrics", said)
    assert "20 s instead of 3 min" in said
    assert set(re.findall(r"\w+@file", said)) == {"shop@file", "blog@file"}, "the neighbour's backends are not in it"
    assert leftovers(demo.pid, tmp_path) == []


@pytest.mark.parametrize("when", ["starting Traefik", "metrics: ", "turns bad"])
def test_ctrl_c_leaves_nothing_behind(demo, tmp_path, when):
    wait_for(lambda: when in demo.text(), 60, lambda: f"{when!r} in:\n{demo.text()}")
    demo.send(signal.SIGINT)
    assert demo.wait(30) == 130, demo.text()
    assert "Traceback" not in demo.text()
    assert leftovers(demo.pid, tmp_path) == []


def test_chosen_where_no_traefik_runs(stack, tmp_path, neighbour):
    process = started(stack, tmp_path, [*ALONE, TOP / "scripts/run"])
    wait_for(lambda: "starting Traefik" in process.text(), 60, process.text)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == 130, process.text()
    assert "no Traefik runs on this host: here is the demo" in process.text()
    assert leftovers(1, tmp_path) == []


def test_not_chosen_where_a_traefik_runs(stack, tmp_path, upstat_binary, traefik_binary):
    space = stack.enter_context(PidNamespace())
    rig = Rig(tmp_path, traefik_binary)
    rig.traefik.enter(space)
    stack.enter_context(rig)
    upstat = Upstat(upstat_binary, tmp_path)
    # A flag would choose by itself.
    upstat.process.env = {**os.environ, "UPSTAT_BUILD_DIR": str(BUILD), "UPSTAT_WEB_LISTEN_ADDRESS": upstat.address,
                          "UPSTAT_STATE_PATH": str(upstat.directory / "state"), "UPSTAT_BPF_PIN_PATH": str(upstat.pin_path)}
    upstat.process.command = space.inside([TOP / "scripts/run"])
    stack.callback(upstat.stop)
    upstat.launch()
    upstat.wait_until_ready(bound=60)
    assert "counting the Traefik of this host" in upstat.log
