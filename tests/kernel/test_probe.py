# SPDX-License-Identifier: Apache-2.0
"""The probe in a process that shows it what Go's memory could hold, and memory that cannot be read."""

import subprocess

from conftest import BUILD


def test_what_the_probe_reads():
    done = subprocess.run([BUILD / "probe_memory"], stdout=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
