# SPDX-License-Identifier: Apache-2.0
"""The scripted TCP peer: the named cases of cases/, and random schedules whose oracle is the peer's own record."""

import os
import subprocess

import pytest

from conftest import BUILD, HERE

SCHEDULES = os.environ.get("UPSTAT_SCHEDULES", "20000")


@pytest.fixture
def peer(capfd):
    """peer(args) runs it; what it says is shown, and all of it must be right."""
    def run(*arguments):
        done = subprocess.run([BUILD / "peer", *arguments], stdout=subprocess.PIPE, text=True, timeout=3000)
        with capfd.disabled():
            print(f"\n{done.stdout.strip()}")
        assert done.returncode == 0, done.stdout
    return run


def test_named_cases(peer):
    peer(*sorted((HERE / "cases").glob("*.case")))


def test_heads_that_are_read_line_by_line(peer):
    """The room where a head is looked through is another program's on each CPU: nothing is counted otherwise,
    but that no route is told."""
    peer("--taken", *sorted((HERE / "cases").glob("*.case")))
    peer("--taken", "--generate", "2000")


def test_random_schedules(peer):
    """UPSTAT_SCHEDULES says how many, UPSTAT_SEED which."""
    seed = os.environ.get("UPSTAT_SEED")
    peer("--generate", SCHEDULES, *(["--seed", seed] if seed else []))
