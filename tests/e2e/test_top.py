# SPDX-License-Identifier: Apache-2.0
"""`upstat top` in a tmux: 80x24 and 200x60, resized, filtered, opened, paused, over a restart of the agent."""

import json
import os
import re
import subprocess

import pytest

from parts.base import Part, unique_name, wait_for
from parts.load import Clients, Request
from parts.rig import Rig

SERVICES = 30  # more rows than the terminal has


class Tmux(Part):
    """One program on a terminal of its own server of tmux's."""

    def __init__(self, directory, command, columns=80, rows=24, term="screen-256color"):
        self._socket = directory / unique_name("tmux")
        self._start = ["-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), *map(str, command)]
        self._env = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": term}

    def _tmux(self, *words):
        return subprocess.run(["tmux", "-u", "-S", self._socket, *words], env=self._env, check=True, stdout=subprocess.PIPE, text=True,
                              timeout=30).stdout

    def start(self):
        self._tmux(*self._start)

    def stop(self):
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], check=False, stderr=subprocess.DEVNULL, timeout=30)

    def keys(self, *keys):
        self._tmux("send-keys", *keys)

    def resize(self, columns, rows):
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def lines(self):
        return self._tmux("capture-pane", "-p").rstrip("\n").split("\n")

    def wait_for(self, condition, what):
        """The lines of the screen, once condition(lines) is true."""
        seen = []

        def met():
            nonlocal seen
            seen = self.lines()
            return condition(seen)
        wait_for(met, 20, lambda: what + ":\n" + "\n".join(seen))
        return seen

    def ended(self):
        return subprocess.run(["tmux", "-S", self._socket, "has-session"], check=False, stderr=subprocess.DEVNULL,
                              timeout=30).returncode != 0


def has(text):
    return lambda lines: any(text in line for line in lines)


@pytest.fixture
def upstat(stack, tmp_path, traefik_binary, agent):
    """An agent whose zebra@file fires."""
    layout = {f"s{number:02}": [3 if number == 8 else 0] for number in range(SERVICES)}
    rig = stack.enter_context(Rig(tmp_path, traefik_binary, layout={**layout, "zebra": [1, 2]}))
    upstat = agent(rig, {"--alert.window": "3s", "--alert.for": "0s"})
    plan = [Request("/zebra/status/404"), Request("/s07/status/200"), Request("/s08/status/500")] * 10_000
    stack.enter_context(Clients(rig.traefik.url, plan, clients=3, rate=60)).start()
    wait_for(lambda: upstat.alert("zebra@file")[0] == "firing", 20, "the alert fires")
    return upstat


def command(upstat, *words):
    return [upstat.binary, "top", "--web.listen-address", upstat.address, "--poll.interval", "200ms", *words]


def test_the_worst_is_first_at_every_size_and_an_agent_is_waited_for(upstat, stack, tmp_path):
    tmux = stack.enter_context(Tmux(tmp_path, command(upstat)))
    lines = tmux.wait_for(has("FIRING"), "the table")
    assert len(lines) == 24 and max(map(len, lines)) <= 80
    assert re.match(r"BACKEND +PER SEC +4XX +5XX ALERT +ERRORS OVER TIME", lines[1]), lines[1]
    assert re.match(r"zebra@file +\d+\.\d +100.0 % +0.0 % FIRING +[▁-█ ]*█$", lines[2]), lines[2]
    assert lines[-1].startswith("Enter open")
    tmux.resize(200, 60)
    lines = tmux.wait_for(lambda lines: len(lines) == 60 and has("s29@file")(lines), "all fit after the resize")
    assert max(map(len, lines)) > 100
    tmux.resize(80, 24)
    tmux.wait_for(lambda lines: len(lines) == 24 and lines[-1].startswith("Enter open"), "it is small again")
    upstat.kill()
    tmux.wait_for(lambda lines: "STALE: no agent answers" in lines[0] and has("zebra@file")(lines), "the word that there is no agent")
    upstat.start()
    tmux.wait_for(lambda lines: "STALE" not in lines[0] and has("zebra@file")(lines), "the agent again")


def test_keys_filter_sort_open_pause_and_quit(upstat, stack, tmp_path):
    tmux = stack.enter_context(Tmux(tmp_path, command(upstat), term="vt100"))  # without colours
    tmux.wait_for(has("FIRING"), "the table")
    tmux.keys("/", "s", "0", "8", "Enter")
    tmux.wait_for(lambda lines: "filter: s08" in lines[0] and lines[2].startswith("s08@file") and not lines[3], "one row")
    tmux.keys("Escape")
    tmux.wait_for(lambda lines: "filter" not in lines[0] and lines[2].startswith("zebra@file"), "all rows")
    tmux.keys("s")
    tmux.wait_for(lambda lines: "sort: name" in lines[0] and lines[2].startswith("s00@file"), "by name")
    tmux.keys("s", "s", "s")
    tmux.wait_for(lambda lines: "sort: 5xx" in lines[0] and lines[2].startswith("s08@file"), "by 5xx")
    tmux.keys("s", "Enter")
    tmux.wait_for(lambda lines: has("zebra@file: all 2 servers are bad")(lines) and has("404:")(lines), "the servers, and why")
    tmux.keys("Enter")
    tmux.wait_for(lambda lines: has("methods")(lines) and has("GET:")(lines) and has("connections that failed")(lines), "one server")
    tmux.wait_for(lambda lines: has(" PORT  STATE ")(lines) and has("idle ")(lines), "its connections")
    tmux.keys("Escape", "Escape", "h")
    tmux.wait_for(has("what a key does"), "the help")
    tmux.keys("h", "p")
    paused = tmux.wait_for(has("PAUSED"), "it pauses")
    tmux.keys("Down")
    tmux.wait_for(has("PAUSED"), "it still pauses")
    assert tmux.lines()[0] == paused[0]
    tmux.keys("q")
    wait_for(tmux.ended, 10, "it ends")


def test_scripts_get_one_table(upstat):
    once = upstat.ask("top")
    assert once.startswith("BACKEND / SERVER") and "zebra@file" in once.splitlines()[1]
    assert upstat.ask("top", "--once").startswith("BACKEND / SERVER")
    assert "zebra@file" in json.loads(upstat.ask("top", "--output=json"))["backends"]
