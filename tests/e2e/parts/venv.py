# SPDX-License-Identifier: Apache-2.0
"""Private venvs for what a test needs from the package index."""

import fcntl
import subprocess
from pathlib import Path


def made_venv(build, name, requirements):
    """The directory of a venv with these requirements, made once."""
    venv = Path(build).resolve() / name
    venv.parent.mkdir(parents=True, exist_ok=True)
    stamp = venv / "installed"
    with open(venv.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs may want it at once
        if not stamp.exists() or stamp.read_text() != requirements.read_text():
            subprocess.run(["/usr/bin/python3", "-m", "venv", "--clear", venv], check=True, timeout=300)
            subprocess.run([venv / "bin/pip", "install", "--quiet", "-r", requirements], check=True, timeout=300)
            stamp.write_text(requirements.read_text())
    return venv
