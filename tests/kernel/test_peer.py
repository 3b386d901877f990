# SPDX-License-Identifier: Apache-2.0
"""The scripted TCP peer: the named cases of cases/, and random schedules whose oracle is the peer's own record."""

import os
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
PEER = Path(os.environ.get("UPSTAT_BUILD_DIR", HERE.parents[1] / "build")) / "peer"
SCHEDULES = os.environ.get("UPSTAT_SCHEDULES", "20000")


def run(*arguments):
    done = subprocess.run([PEER, *arguments], capture_output=True, text=True, timeout=3000)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_named_cases():
    run(*sorted((HERE / "cases").glob("*.case")))


def test_random_schedules():
    seed = os.environ.get("UPSTAT_SEED")
    run("--generate", SCHEDULES, *(["--seed", seed] if seed else []))
