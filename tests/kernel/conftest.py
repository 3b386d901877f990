# SPDX-License-Identifier: Apache-2.0
"""The kernel programs between a client in the agent's cgroup and a scripted server whose every write is one segment."""

import os
import socket
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

from parts.base import free_port, wait_for  # noqa: E402
from parts.cgroup import Cgroup  # noqa: E402
from parts.exposition import select, total  # noqa: E402
from parts.upstat import Bpffs, Upstat  # noqa: E402
from peer import Connection, RemoteClient  # noqa: E402

BUILD = Path(os.environ.get("UPSTAT_BUILD_DIR", HERE.parents[1] / "build"))
BACKEND_PORTS = 120


class Bench:
    """The agent on a cgroup, a client in it, and as many servers as the tests want, each known to the agent."""

    def __init__(self, stack, directory):
        self._ports = [free_port() for _ in range(BACKEND_PORTS)]
        self.directory = directory
        stack.enter_context(Bpffs())
        self.cgroup = stack.enter_context(Cgroup())
        backends = directory / "backends.yml"
        servers = [f"{host}:{port}" for port in self._ports for host in ("127.0.0.1", "[::1]")]
        backends.write_text(yaml.safe_dump({"backends": {"all": servers}}))
        self.client = stack.enter_context(RemoteClient(self.cgroup))
        self.agent = stack.enter_context(Upstat(
            os.environ.get("UPSTAT_BINARY", BUILD / "upstat"), directory,
            {"--traefik.cgroup": self.cgroup.path, "--backends.file": backends, "--poll.interval": "50ms"}))

    def port(self):
        return self._ports.pop()

    def page(self):
        """The samples of a poll that began after this call."""
        def polled(samples=None):
            return total(samples or self.agent.samples(), "upstat_last_poll_timestamp_seconds")
        for _ in range(2):  # the poll under way may have begun before
            wait_for(lambda before=polled(): polled() > before, 10, "the next poll", interval=0.02)
        return self.agent.samples()


class Server:
    """A listening socket, and what upstat says of it."""

    def __init__(self, bench, host="127.0.0.1", port=None):
        self.bench = bench
        port = port or bench.port()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, port), family=family)
        self.listener.settimeout(10)
        self.label = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.address = (host, port)

    def connect(self, address=None):
        return Connection(self.bench.client, self.listener, address)

    def close(self):
        self.listener.close()

    def expect(self, answers=None, **others):
        """Fails unless upstat has exactly these: answers {(code, method): n}, and of others requests, unanswered, unread,
        connects and failures; reasons as {reason: n}. Always checked: requests = answers + unanswered + outstanding."""
        samples = self.bench.page()

        def by(name, *labels):
            counts = Counter()
            for sample in select(samples, name, server=self.label):
                if sample.value:
                    counts[tuple(sample.labels[label] for label in labels)] += int(sample.value)
            return counts

        def one(name):
            return int(total(samples, name, server=self.label))

        got = {"answers": {(int(code), method): n for (code, method), n in by("upstat_server_responses_total", "code", "method").items()},
               "requests": one("upstat_server_requests_total"), "outstanding": one("upstat_server_outstanding_requests"),
               "unanswered": {k: n for (k,), n in by("upstat_server_unanswered_total", "reason").items()},
               "unread": {k: n for (k,), n in by("upstat_server_unread_connections_total", "reason").items()},
               "failures": {k: n for (k,), n in by("upstat_server_connect_failures_total", "reason").items()}}
        answers = answers or {}
        unanswered = others.get("unanswered", {})
        outstanding = others.get("outstanding", 0)
        wanted = {"answers": answers, "outstanding": outstanding, "unanswered": unanswered, "unread": others.get("unread", {}),
                  "failures": others.get("failures", {}),
                  "requests": sum(answers.values()) + sum(unanswered.values()) + outstanding}
        assert got == wanted


@pytest.fixture
def stack():
    """What a test enters here is left in reverse order at its end."""
    with ExitStack() as parts:
        yield parts


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    with ExitStack() as stack:
        yield Bench(stack, tmp_path_factory.mktemp("kernel"))


@pytest.fixture
def server(bench):
    server = Server(bench)
    yield server
    server.close()
