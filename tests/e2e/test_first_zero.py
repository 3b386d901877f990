# SPDX-License-Identifier: Apache-2.0
"""Every reader sees the first burst of a new series, however many read and however slowly each does: two Prometheus that
scrape, and one that reads a Pushgateway. All times are a seventh of the defaults and of usual intervals."""

import http.client
import time

import pytest

from parts.base import wait_for
from parts.cgroup import Cgroup
from parts.codes import CodeServer
from parts.monitoring import Prometheus, Pushgateway
from parts.traefik import Traefik

ZERO_FOR, SLOW, FAST, PUSH = 11, "8s", "2s", 2
BURST = 20
CODES = range(600, 700)  # none of those that are shown at 0 from the start
METHODS = ("PUT", "DELETE", "OPTIONS", "PATCH", "BREW")
NAMES = ("traefik_backend_requests_total", "upstat_server_responses_total")


@pytest.fixture
def traefik(stack, tmp_path, traefik_binary):
    """Two services, each of one server that gives every code."""
    servers = {name: stack.enter_context(CodeServer()) for name in ("first", "second")}
    cgroup = stack.enter_context(Cgroup())
    return stack.enter_context(Traefik(traefik_binary, tmp_path, cgroup, {name: [server.url] for name, server in servers.items()},
                                       metrics=False))


def bursts():
    """(service, code, method) of series that no one has seen: a new code, a new method, a new backend."""
    yield from (("first", code, "GET") for code in CODES)
    yield from (("first", 200, method) for method in METHODS)
    yield "second", 403, "GET"


def send(traefik, service, code, method):
    connection = http.client.HTTPConnection("127.0.0.1", traefik.port, timeout=20)
    for _ in range(BURST):
        connection.request(method, f"/{service}/{code}")
        response = connection.getresponse()
        response.read()
        assert response.status == code
    connection.close()


def key(labels):
    return labels.get("backend") or labels["server"], labels["code"], labels["method"]


def test_every_reader_sees_every_first_burst(stack, tmp_path, upstat_binary, traefik, agent):
    gateway = stack.enter_context(Pushgateway(tmp_path))
    flags = {"--traefik.pid": traefik.pid, "--traefik.api": traefik.api_url, "--poll.interval": "500ms",
             "--push.url": gateway.url, "--push.interval": f"{PUSH}s", "--metrics.zero-for": f"{ZERO_FOR}s"}
    upstat = agent(Flags(flags))
    readers = {name: stack.enter_context(Prometheus(tmp_path, [target], interval=interval, name=name)) for name, target, interval in (
        ("fast", upstat.address, FAST), ("slow", upstat.address, SLOW), ("pushed", gateway.address, SLOW))}
    for name, reader in readers.items():  # a Prometheus scrapes for the first time some 5 s and an interval after its start
        wait_for(lambda reader=reader: reader.query("up == 1"), 60, f"{name}'s first scrape")
    wanted = {}
    for service, code, method in bursts():
        send(traefik, service, code, method)
        label = "EXTENSION_METHOD" if method == "BREW" else method
        wanted[f"{service}@file", str(code), label] = BURST
        wanted[traefik.services[service][0].removeprefix("http://"), str(code), label] = BURST
        time.sleep(0.2)

    def seen(reader):
        """What it can tell of each series: the last sample less the first one."""
        return {key(series["metric"]): float(series["values"][-1][1]) - float(series["values"][0][1])
                for name in NAMES for series in reader.query(name + "[10m]")}

    def missing(name):
        increases = seen(readers[name])
        return {series: increases.get(series) for series in wanted if increases.get(series) != BURST}

    # Each reader has had its time: a young series' 0, then a scrape or two with its count.
    deadline = time.monotonic() + ZERO_FOR + PUSH + 3 * 8
    for name in readers:
        wait_for(lambda name=name: not missing(name) or time.monotonic() > deadline, 60, f"{name} has all", interval=1)
    lost = {name: missing(name) for name in readers}
    assert not any(lost.values()), {name: f"{len(series)} of {len(wanted)}: {series}" for name, series in lost.items()}
    for name, reader in readers.items():
        rising = {key(series["metric"]) for metric in NAMES for series in reader.query(f"increase({metric}[5m]) > 0")}
        assert wanted.keys() <= rising, f"{name}: increase() is 0 for {wanted.keys() - rising}"


class Flags:
    """What the fixture `agent` wants of a rig."""

    def __init__(self, flags):
        self._flags = flags

    def flags(self, _named_by):
        return self._flags
