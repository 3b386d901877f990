# SPDX-License-Identifier: Apache-2.0
"""`upstat top` on a terminal of 24 lines of 80 characters."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios

import pytest

from parts.base import wait_for
from parts.load import Clients, Request
from parts.rig import Rig

SERVICES = 30  # more rows than the terminal has


class Terminal:
    """What a program shows on a terminal: screens, each as the text that was drawn after it was cleared."""

    def __init__(self, command):
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self._seen = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._child.kill()
        self._child.wait(10)
        os.close(self._ours)

    def screen(self):
        """The last screen that is whole; empty before there is one."""
        while select.select([self._ours], [], [], 0)[0]:
            self._seen += os.read(self._ours, 65536).decode(errors="replace")
        screens = self._seen.split("\x1b[H\x1b[2J")
        return screens[-2] if len(screens) > 2 else ""


@pytest.fixture
def rig(stack, tmp_path, traefik_binary):
    layout = {f"s{number:02}": [0] for number in range(SERVICES)}
    return stack.enter_context(Rig(tmp_path, traefik_binary, layout={**layout, "zebra": [1]}))


def test_top_shows_the_worst_first_fits_and_waits_for_an_agent(rig, stack, agent):
    upstat = agent(rig, {"--alert.window": "3s", "--alert.for": "0s"})
    load = stack.enter_context(Clients(rig.traefik.url, [Request("/zebra/status/404")] * 10_000, clients=1, rate=30))
    load.start()
    wait_for(lambda: upstat.alert("zebra@file")[0] == "firing", 20, "the alert fires")
    with Terminal([upstat.binary, "top", "--web.listen-address", upstat.address, "--poll.interval", "200ms"]) as terminal:
        screen = wait_for(lambda: (text := terminal.screen()) and "firing" in text and text, 20, "a table")
        lines = screen.replace("\r", "").splitlines()
        assert len(lines) <= 24 and max(map(len, lines)) <= 80, screen
        assert re.match(r"zebra@file .* firing 100.0 %", lines[1]), screen
        upstat.kill()
        wait_for(lambda: terminal.screen().startswith("waiting: no agent answers"), 20, "the word that there is no agent")
        upstat.start()
        wait_for(lambda: terminal.screen().startswith("BACKEND"), 20, "the table again")
