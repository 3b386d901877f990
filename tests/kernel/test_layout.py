# SPDX-License-Identifier: Apache-2.0
"""An upgrade: the maps of another layout, or of another size, are summed up with the new ones, and never misread."""

import random
import socket
import subprocess
import threading
import time
from contextlib import ExitStack

import pytest

import other_layout
from agents import OWN, check_attached, run_again, set_command
from conftest import BUILD, Bench, Server
from parts.base import wait_for
from parts.cgroup import Cgroup
from parts.exposition import select, total
from peer import RemoteClient

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SMALL = {"--bpf.totals-size": 64, "--bpf.requests-size": 16}  # quick to make
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="session")
def other():
    """An upstat that differs in everything that a layout can differ in."""
    return other_layout.build(BUILD)[0]


@pytest.fixture(scope="session")
def same_sockets():
    """One that differs in the keys only, so that what is known of each socket can be carried over."""
    return other_layout.build(BUILD)[1]


@pytest.fixture
def stage(tmp_path):
    with ExitStack() as stack:
        yield Bench(stack, tmp_path)


@pytest.fixture
def server(stage):
    server = Server(stage)
    yield server
    server.close()


def generations(bench):
    return sorted(path.name for path in bench.agent.pin_path.glob("layout-*"))


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_there_and_back(stage, server, other, end):
    """Connections live through both; the answer to a request that was in flight when the programs changed is taken by those
    that saw the request, which are let go then."""
    idle, busy, patient = (server.connect() for _ in range(3))
    idle.ask()
    idle.answer(NOT_FOUND)
    patient.ask()
    for cycle, binary in enumerate([other, OWN, other], start=1):
        busy.ask()
        run_again(stage, binary, end=end)
        check_attached(stage, in_flight=True)
        server.expect({(404, "GET"): 1, (200, "GET"): 2 * cycle - 2} if cycle > 1 else {(404, "GET"): 1}, outstanding=2)
        busy.answer(OK[:5])
        idle.ask()
        idle.answer(OK)
        busy.answer(OK[5:])
        server.expect({(404, "GET"): 1, (200, "GET"): 2 * cycle}, outstanding=1)
    patient.answer(NOT_FOUND)
    for connection in (idle, busy, patient):
        connection.ask()
        connection.answer(OK)
        connection.close()
    server.expect({(404, "GET"): 2, (200, "GET"): 9})
    check_attached(stage)
    assert generations(stage) == ["layout-3", "layout-3-1", "layout-4", "layout-4-1"]


def test_a_request_that_is_never_answered(stage, server, other):
    """The old programs do not stay for ever, and what they waited for is told, once."""
    lost, busy = server.connect(), server.connect()
    lost.ask()
    run_again(stage, other)
    lost.close()
    busy.ask()
    server.expect(outstanding=2)
    check_attached(stage, in_flight=True)
    wait_for(lambda: total(stage.page(), "upstat_server_unanswered_total", server=server.label), 30, "the old programs let go")
    server.expect(unanswered={"upgraded": 1}, outstanding=1)
    check_attached(stage)
    run_again(stage, OWN)
    busy.answer(OK)
    busy.close()
    server.expect({(200, "GET"): 1}, unanswered={"upgraded": 1})
    check_attached(stage)


def test_a_request_that_is_sent_again(stage, server, other):
    """Its first segment is lost before the upgrade and sent again after it: to the new programs it is no request."""
    lossy = ["-p", "tcp", "--dport", str(server.address[1]), "--tcp-flags", "PSH", "PSH",
             "-j", "DROP"]
    connection = server.connect()
    subprocess.run(["iptables", "-w", "-A", "INPUT", *lossy], check=True)
    try:
        asking = threading.Thread(target=connection.ask)
        asking.start()
        wait_for(lambda: total(stage.page(), "upstat_server_outstanding_requests", server=server.label), 5, "the request counted")
        run_again(stage, other)
    finally:
        subprocess.run(["iptables", "-w", "-D", "INPUT", *lossy], check=True)
    asking.join()
    server.expect(outstanding=1)
    connection.answer(OK)
    server.expect({(200, "GET"): 1})
    connection.ask()
    connection.answer(OK)
    connection.close()
    server.expect({(200, "GET"): 2})


def test_requests_in_flight_survive_where_the_sockets_are_the_same(stage, server, same_sockets):
    connection = server.connect()
    for cycle, binary in enumerate([same_sockets, OWN, same_sockets], start=1):
        connection.ask()
        run_again(stage, binary)
        check_attached(stage)
        connection.answer(NOT_FOUND[:5])
        server.expect({(404, "GET"): cycle - 1} if cycle > 1 else {}, outstanding=1)
        connection.answer(NOT_FOUND[5:])
        server.expect({(404, "GET"): cycle})
    connection.close()


def test_a_larger_map(stage, server):
    """A size that is raised works at the next start; one that is lowered changes nothing."""
    connection = server.connect()
    connection.ask()
    run_again(stage, OWN, {"--bpf.totals-size": 70000})
    check_attached(stage)
    server.expect(outstanding=1)
    connection.answer(OK)
    server.expect({(200, "GET"): 1})
    run_again(stage, OWN, {"--bpf.totals-size": 16, "--bpf.requests-size": 20000})
    connection.ask()
    connection.answer(OK)
    connection.close()
    server.expect({(200, "GET"): 2})
    capacity = {s.labels["map"]: s.value for s in select(stage.agent.samples(), "upstat_map_capacity")}
    assert (capacity["totals"], capacity["requests"]) == (16, 20000)
    run_again(stage, OWN, {"--bpf.totals-size": 8})
    server.expect({(200, "GET"): 2})
    assert generations(stage) == ["layout-3", "layout-3-1", "layout-3-2"]


def test_backends_counters_go_on(stage, server, other):
    """The ledger compares totals with those of the agent before: they are of the same epoch."""
    connection = server.connect()

    def backend():
        return total(stage.page(), "traefik_backend_requests_total", backend="all")

    for answers, binary in enumerate([other, OWN, other], start=1):
        connection.ask()
        connection.answer(OK)
        assert backend() == answers
        run_again(stage, binary)
        assert backend() == answers
    assert "made anew" not in stage.agent.log
    connection.close()


def test_a_cgroup_that_the_new_agent_is_not_sent_to(stage, server, other):
    """The old programs go on there, and are taken over when an agent comes that is."""
    connection = server.connect()
    connection.ask()
    home = stage.cgroup.path
    with Cgroup() as elsewhere:
        run_again(stage, other, {"--traefik.cgroup": elsewhere.path})
        server.expect(outstanding=1)
        connection.answer(OK)
        for _ in range(2):
            connection.ask()
            connection.answer(OK)
        connection.ask()
        server.expect({(200, "GET"): 3}, outstanding=1)
        run_again(stage, OWN, {"--traefik.cgroup": home})
        server.expect({(200, "GET"): 3}, outstanding=1)
    connection.answer(OK)
    connection.ask()
    connection.answer(OK)
    connection.close()
    server.expect({(200, "GET"): 5})
    check_attached(stage)


class Busy:
    """A client and a server that exchange as fast as they can, on one connection after another."""

    def __init__(self, stage, stack):
        self.client = stack.enter_context(RemoteClient(stage.cgroup))
        self.server = Server(stage)
        self.exchanged = 0
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=role) for role in (self._ask, self._answer)]
        for thread in self._threads:
            thread.start()
        stack.callback(self.end)

    def end(self):
        self._ended.set()
        self._threads[0].join()
        socket.create_connection(self.server.address).close()  # the other one may be waiting for the next
        self._threads[1].join()
        self.server.close()

    def _ask(self):
        while not self._ended.is_set():
            number = self.client.call("connect", self.server.listener.family, self.server.address)
            self.client.call("converse", number, GET, len(OK), 500)
            self.client.call("close", number)
            self.exchanged += 500

    def _answer(self):
        while not self._ended.is_set():
            connection, _ = self.server.listener.accept()
            with connection:
                while connection.recv(len(GET)):
                    connection.sendall(OK)


def test_under_traffic(stage, other, same_sockets):
    """Two busy clients, upgrades there and back, and agents that are killed at any moment: every request is counted and
    every answer, once."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with ExitStack() as stack:
        crowd = [Busy(stage, stack) for _ in range(2)]
        for binary in [other, same_sockets, OWN] * 2:
            run_again(stage, binary, SMALL)
        for _ in range(30):
            stage.agent.kill()
            set_command(stage, chance.choice([other, same_sockets, OWN]))
            stage.agent.launch()
            time.sleep(chance.random() / 4)
        run_again(stage, OWN, end="kill")
    for busy in crowd:
        assert busy.exchanged > 1000
        busy.server.expect({(200, "GET"): busy.exchanged})
        print(f"{busy.exchanged} exchanges")
    check_attached(stage)


def test_maps_that_say_nothing_of_their_keys_are_left_alone(stage, server):
    """As those of an upstat that is no more known would be: their counts are left out, and the log says where they are."""
    connection = server.connect()
    connection.ask()
    connection.answer(OK)
    stage.agent.process.stop()
    odd = stage.agent.pin_path / "layout-9"
    (odd / "links").mkdir(parents=True)
    subprocess.run(["bpftool", "map", "create", odd / "totals", "type", "percpu_hash", "key", "24", "value", "8", "entries", "16",
                    "name", "totals"], check=True)
    stage.agent.start()
    check_attached(stage)
    connection.ask()
    connection.answer(OK)
    connection.close()
    server.expect({(200, "GET"): 2})
    assert f"the counts in {odd} are left out: the map totals: it has no BTF" in stage.agent.log
    assert (odd / "totals").exists()
