# SPDX-License-Identifier: Apache-2.0
"""A cgroup v2 directory of the test's own."""

import os
import signal
from pathlib import Path

from .base import Part, unique_name, wait_for


def cgroup2_mount():
    """Where the cgroup v2 hierarchy is mounted."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.split()[0] == "cgroup2":
            return Path(fields.split()[4])
    raise AssertionError("no cgroup2 file system is mounted on this host")


class Cgroup(Part):
    def __init__(self, name=None):
        self.path = cgroup2_mount() / (name or unique_name())

    def start(self):
        self.path.mkdir()

    def inside(self, command):
        """The command that runs `command` in this cgroup from its first instruction on, under the same pid."""
        return ["/bin/sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(self.path), *command]

    def pids(self):
        try:
            return [int(pid) for pid in (self.path / "cgroup.procs").read_text().split()]
        except FileNotFoundError:
            return []

    def stop(self):
        """Kills what is left inside and removes the directory."""

        def removed():
            for pid in self.pids():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            try:
                self.path.rmdir()
            except FileNotFoundError:
                pass
            except OSError:  # busy until the last process is reaped
                return False
            return True

        wait_for(removed, 10, f"{self.path} removed")
