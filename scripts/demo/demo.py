#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The demo of scripts/run: a real Traefik, three nginx servers in two backends, steady load. Its agent is told this one
Traefik by its pid, so that no other Traefik of the host is in the numbers.
One server begins to answer 404 and later heals; the viewer watches the alert come and go.

On a terminal a table is drawn and the story is told again and again until Ctrl-C. Elsewhere, or with --plain, it is told
once in lines, and the exit code is 0 only if the alert was seen pending, firing and resolved.
"""

import argparse
import re
import shutil
import signal
import socket
import sys
import tempfile
import textwrap
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "e2e"))

from parts.base import NOT_YET, free_port, unique_name, wait_for  # noqa: E402
from parts.exposition import select, total  # noqa: E402
from parts.load import Clients, Request  # noqa: E402
from parts.rig import Rig  # noqa: E402
from parts.upstat import Bpffs, Upstat  # noqa: E402

WINDOW, HOLD = 20, 10  # seconds; the rule's own are 180 and 60
THRESHOLD = 5
RATE = 60              # requests per second
BACKEND = "shop@file"
DEFAULT_ADDRESS = "127.0.0.1:9479"
SHORTENED = f"alert window {WINDOW} s instead of 3 min, hold {HOLD} s instead of 1 min"
PAGES = [Request("/shop/bytes/1000"), Request("/shop/bytes/100"), Request("/blog/bytes/10000"), Request("/shop/status/204"),
         Request("/blog/status/304"), Request("/shop/bytes/100", "HEAD"), Request("/blog/read/200", "POST", 500),
         Request("/shop/status/200", "POST", 50)]


class Stopped(Exception):
    """Ctrl-C, or a signal that means the same."""


class Host:
    """Everything that the demo sets up; leaving `stack` takes it away again."""

    def __init__(self, stack, upstat_binary, traefik_binary):
        directory = Path(tempfile.mkdtemp(prefix="upstat-demo-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        stack.enter_context(Bpffs())
        self.rig = stack.enter_context(Rig(directory, traefik_binary, ("127.0.0.1", "::1", "127.0.0.1"),
                                           {"shop": [0, 1], "blog": [2]}, metrics=False))
        self.bad = self.rig.nginx.servers[0]
        self.agent = Upstat(upstat_binary, directory, {
            **self.rig.flags(), "--poll.interval": "500ms", "--alert.window": f"{WINDOW}s", "--alert.for": f"{HOLD}s",
            "--log.level": "info"}, name="agent", pin_path=f"/sys/fs/bpf/{unique_name('upstat-demo')}", address=web_address())
        stack.enter_context(self.agent)
        self.load = stack.enter_context(Clients(self.rig.traefik.url, PAGES * (24 * 3600 * RATE // len(PAGES)), clients=4, rate=RATE))
        self.load.start()

    def state(self):
        return self.agent.alert(BACKEND)[0]


class Story:
    """What happens next, from the agent's own state. step() is called over and over and returns what has just happened."""

    HEALTHY, BROKEN = 8, 6  # seconds of quiet before the errors, and of firing before they end
    PATIENCE = 45            # seconds for each change of state

    def __init__(self, host):
        self.host = host
        self.seen = ["inactive"]
        self.next = "steady load, every server is well"
        self.told = 0
        self._chapters = self._tell()

    def step(self):
        return next(self._chapters)

    def _tell(self):
        while True:
            yield from self._pause(self.HEALTHY)
            self.host.rig.nginx.turn_bad(self.host.bad)
            self.next = f"{self.host.bad} answers 404: the share of 4xx is over {THRESHOLD} %, and if it stays so for {HOLD} s the alert fires"
            yield f"server {self.host.bad} of {BACKEND} turns bad: it answers 404 from now on"
            yield from self._until("pending")
            yield from self._until("firing")
            self.next = f"firing; {self.host.bad} heals soon"
            yield from self._pause(self.BROKEN)
            self.host.rig.nginx.heal(self.host.bad)
            self.next = f"{self.host.bad} is well again: the alert ends when the window of {WINDOW} s has forgotten the errors"
            yield f"server {self.host.bad} heals"
            yield from self._until("inactive")
            self.told += 1
            self.next = "resolved"
            yield f"resolved: {' -> '.join(self.seen)}"
            self.seen = ["inactive"]

    def _pause(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            yield ""

    def _until(self, state):
        until = time.monotonic() + self.PATIENCE
        while (now := self.host.state()) != state:
            if time.monotonic() > until:
                raise AssertionError(f"the alert of {BACKEND} is {now} and did not become {state} within {self.PATIENCE} s")
            yield ""
        self.seen.append(state)
        yield f"{BACKEND} is {state}"


class Lines:
    """For logs and pipes: what happens, and a line every five seconds."""

    def __init__(self, host):
        self._host = host
        self._begin = time.monotonic()
        self._due = 0.0
        self._logged = 0

    def say(self, text):
        elapsed = int(time.monotonic() - self._begin)
        print(f"{elapsed // 60:02}:{elapsed % 60:02}  {text}", flush=True)

    def show(self, story, news):
        if news:
            self.say(news)
        for line in self._host.agent.log.splitlines()[self._logged:]:
            self._logged += 1
            if "TraefikHighHttp4xx" in line:
                self.say(f"the agent logs: {line}")
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + 5
            self.say(self._numbers())

    def _numbers(self):
        samples = self._host.agent.samples()
        words = []
        for backend, servers in backends(samples).items():
            codes = Counter()
            for server in servers:
                codes += classes(samples, server)
            words.append(f"{backend} {self._host.agent.alert(backend)[0]}, {share(samples, backend)} 4xx"
                         f" ({', '.join(f'{codes[c]} x {c}' for c in sorted(codes))})")
        return "; ".join(words)


class Table:
    """For a terminal: redrawn in place."""

    COLOURS = {"inactive": "32", "pending": "33", "firing": "31;1"}

    def __init__(self, host):
        self._host = host
        self._news = []

    def say(self, text):
        self._news = [*self._news[-4:], f"{time.strftime('%H:%M:%S')}  {text}"]

    def show(self, story, news):
        if news:
            self.say(news)
        width = shutil.get_terminal_size().columns
        lines = [self._bold("upstat: HTTP status codes behind Traefik, counted in the kernel"), f"demo: {SHORTENED}", "",
                 self._bold(f"{'BACKEND, SERVER':20} {'2xx':>8} {'3xx':>7} {'4xx':>7} {'5xx':>6} {'4xx SHARE':>10}  ALERT"),
                 *self._rows(), "", *self._news, "", "now:", *textwrap.wrap(story.next, 78, initial_indent="  ", subsequent_indent="  "), "",
                 f"page: {self._host.agent.url}/   metrics: {self._host.agent.url}/metrics", "Ctrl-C ends the demo and leaves nothing behind"]
        sys.stdout.write("\x1b[H" + "".join(f"{cut(line, width)}\x1b[K\n" for line in lines) + "\x1b[J")
        sys.stdout.flush()

    def _rows(self):
        samples = self._host.agent.samples()
        for backend, servers in backends(samples).items():
            state = self._host.agent.alert(backend)[0]
            yield f"{backend:51} {share(samples, backend):>11}  \x1b[{self.COLOURS[state]}m{state}\x1b[0m"
            for server in servers:
                codes = classes(samples, server)
                yield f"  {server:18} {codes['2xx']:8} {codes['3xx']:7} {codes['4xx']:7} {codes['5xx']:6}"

    @staticmethod
    def _bold(text):
        return f"\x1b[1m{text}\x1b[0m"


def backends(samples):
    """backend -> its servers, as the agent has them from Traefik."""
    found = {}
    for sample in select(samples, "upstat_backend_server_info"):
        found.setdefault(sample.labels["backend"], []).append(sample.labels["server"])
    return {backend: sorted(found[backend]) for backend in sorted(found, reverse=True)}


def classes(samples, server):
    """"2xx" -> answers of this server."""
    codes = Counter()
    for sample in select(samples, "upstat_server_responses_total", server=server):
        if sample.value:
            codes[f"{sample.labels['code'][0]}xx"] += int(sample.value)
    return codes


def share(samples, backend):
    """The share of 4xx in the window, as text."""
    known = select(samples, "upstat_backend_4xx_ratio", backend=backend)
    return f"{100 * known[0].value:.1f} %" if known else "-"


def cut(line, width):
    """At most `width` columns; a line with colours in it is short."""
    return line if "\x1b" in line and len(re.sub(r"\x1b\[[0-9;]*m", "", line)) <= width else re.sub(r"\x1b\[[0-9;]*m", "", line)[:width]


def web_address():
    """The agent's own default, unless something has it already."""
    try:
        with socket.create_server(("127.0.0.1", 9479)):
            return DEFAULT_ADDRESS
    except OSError:
        return f"127.0.0.1:{free_port()}"


def play(host, view, forever):
    story = Story(host)
    wait_for(lambda: backends(host.agent.samples()), 20, "the agent knows Traefik's backends")
    while forever or not story.told:
        news = story.step()
        try:
            view.show(story, news)
        except NOT_YET:
            pass  # the page of this moment is missing, the next one comes
        time.sleep(0.25)
    return story


def run(options):
    plain = options.plain or not sys.stdout.isatty()
    with ExitStack() as stack:
        print(f"starting Traefik, three nginx servers, load and the agent ({SHORTENED})", flush=True)
        host = Host(stack, options.upstat, options.traefik)
        try:
            if plain:
                view = Lines(host)
                view.say(f"Traefik (pid {host.rig.traefik.pid}) in {host.rig.cgroup.path}, servers {', '.join(host.rig.nginx.servers)}, "
                         f"{RATE} requests a second")
                view.say(f"page: {host.agent.url}/, metrics: {host.agent.url}/metrics")
            else:
                view = Table(host)
                stack.callback(sys.stdout.write, "\x1b[?25h\x1b[?1049l")
                sys.stdout.write("\x1b[?1049h\x1b[?25l\x1b[H\x1b[J")
            story = play(host, view, forever=not plain)
        except AssertionError:
            print(f"--- the agent's log:\n{host.agent.log[-4000:]}", file=sys.stderr)
            raise
    return story


def stop(number, _frame):
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # the cleaning up is not to be cut off
    raise Stopped(signal.Signals(number).name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstat", required=True, metavar="BINARY")
    parser.add_argument("--traefik", required=True, metavar="BINARY")
    parser.add_argument("--plain", action="store_true", help="lines, also on a terminal")
    options = parser.parse_args()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, stop)
    try:
        run(options)
    except Stopped as stopped:
        print(f"{stopped}: the demo is over, everything that it made is gone")
        return 0 if sys.stdout.isatty() and not options.plain else 130  # on a terminal this is its only end
    except (AssertionError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print("the alert came and went: inactive, pending, firing, resolved; everything that the demo made is gone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
