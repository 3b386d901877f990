# SPDX-License-Identifier: Apache-2.0
"""A PID namespace: what runs in it sees no other process of this host, so no other Traefik either."""

import subprocess
from pathlib import Path

from .base import Part, wait_for


class PidNamespace(Part):
    def __init__(self):
        self._first = None

    def start(self):
        self._first = subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sleep", "1000"],
                                       stdin=subprocess.DEVNULL, start_new_session=True)
        wait_for(lambda: Path(f"/proc/{self._init()}/comm").read_text() == "sleep\n", 10, "the namespace's first process")

    def stop(self):
        if self._first:
            self._first.kill()
            self._first.wait(10)

    def inside(self, command):
        return ["nsenter", "-t", self._init(), "--pid", "--mount", "--", *[str(word) for word in command]]

    def _init(self):
        children = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children").read_text().split()
        if not children:
            raise OSError("no child yet")
        return children[0]
