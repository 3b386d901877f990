# SPDX-License-Identifier: Apache-2.0
"""An upgrade: the maps of another layout, or of another size, are summed up with the new ones, and never misread."""

import subprocess
import threading
from contextlib import ExitStack

import pytest

import other_layout
from agents import OWN, check_attached, run_again
from conftest import BUILD, Bench, Server
from parts.exposition import select, total
from peer import Connection, RemoteClient

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
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
    return sorted(path.name for path in bench.agent.pin_path.iterdir())


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_there_and_back(stage, server, other, end):
    """Connections live through both; a request that is in flight when the programs change is counted as unanswered."""
    idle, busy = server.connect(), server.connect()
    idle.ask()
    idle.answer(NOT_FOUND)
    for cycle, binary in enumerate([other, OWN, other], start=1):
        busy.ask()
        run_again(stage, binary, end=end)
        check_attached(stage)
        busy.answer(OK)
        idle.ask()
        idle.answer(OK)
        server.expect({(404, "GET"): 1, (200, "GET"): cycle}, unanswered={"upgraded": cycle})
    busy.ask()
    busy.answer(OK)
    for connection in (idle, busy):
        connection.close()
    server.expect({(404, "GET"): 1, (200, "GET"): 4}, unanswered={"upgraded": 3})
    assert generations(stage) == ["layout-1", "layout-1-1", "layout-2", "layout-2-1"]


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
    assert generations(stage) == ["layout-1", "layout-1-1", "layout-1-2"]


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


def test_under_traffic(stage, other):
    """Two busy clients, and upgrades there and back: every answer is counted but those of requests that were in flight when
    the programs changed, and these are counted as such."""
    server = Server(stage)
    ended = threading.Event()
    sent = []

    def work(client):
        connection, count = Connection(client, server.listener), 0
        while not ended.is_set():
            connection.ask()
            connection.answer(OK)
            count += 1
        connection.close()
        sent.append(count)

    with ExitStack() as stack:
        clients = [stack.enter_context(RemoteClient(stage.cgroup)) for _ in range(2)]
        workers = [threading.Thread(target=work, args=(client,)) for client in clients]
        try:
            for worker in workers:
                worker.start()
            for binary in [other, OWN] * 2:
                run_again(stage, binary)
        finally:
            ended.set()
            for worker in workers:
                worker.join()
    samples = stage.page()
    requests = total(samples, "upstat_server_requests_total", server=server.label)
    answers = total(samples, "upstat_server_responses_total", server=server.label)
    upgraded = total(samples, "upstat_server_unanswered_total", server=server.label, reason="upgraded")
    server.close()
    assert sum(sent) > 100 and len(sent) == 2
    assert (requests, answers + upgraded) == (sum(sent), sum(sent))
    assert upgraded <= 2 * 4
    assert total(samples, "upstat_server_outstanding_requests", server=server.label) == 0


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
