# SPDX-License-Identifier: Apache-2.0
"""`soak`: the kernel tests' soak at its whole length; here for its figure of responses missed or doubled."""

import subprocess
import sys
from pathlib import Path

from figures import Figure

RUN = Path(__file__).resolve().parents[1] / "kernel" / "soak" / "run"
ANSWERS, KILLS = 10_000_000, 200


def measure(_directory, _options):
    done = subprocess.run([sys.executable, RUN, "--answers", str(ANSWERS), "--kills", str(KILLS)], check=False)
    differs = done.returncode != 0
    return [Figure("soak", f"{ANSWERS:,} responses and {KILLS} kills of the agent: runs whose counts differ", "runs",
                   int(differs))], {"exit": done.returncode, "failed": differs}
