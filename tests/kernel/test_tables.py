# SPDX-License-Identifier: Apache-2.0
"""Tables that fill: what finds no room is counted all the same, though not whose it is; what found room stays exact."""

import json
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from agents import OWN, check_attached, run_again, run_anew
from conftest import Bench, Server
from parts.base import Part, unique_name, wait_for
from parts.cgroup import Cgroup
from parts.exposition import select, total
from peer import Connection, RemoteClient

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
SMALL = {"--bpf.totals-size": 16, "--bpf.requests-size": 4}
OVERFLOW = "overflow"


@pytest.fixture
def stage(stack, tmp_path):
    return Bench(stack, tmp_path)


class NetNamespace(Part):
    def __init__(self):
        self.name = unique_name()
        self.path = Path("/run/netns") / self.name

    def start(self):
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        subprocess.run(["ip", "-n", self.name, "link", "set", "lo", "up"], check=True)

    def stop(self):
        subprocess.run(["ip", "netns", "delete", self.name], check=False)

    def inside(self, command):
        return ["nsenter", f"--net={self.path}", *map(str, command)]

    def sysctl(self, name):
        return subprocess.run(self.inside(["sysctl", "-n", name]), check=True, capture_output=True, text=True).stdout.strip()

    def set_sysctl(self, name, value):
        subprocess.run(self.inside(["sysctl", "-qw", f"{name}={value}"]), check=True)


class Crowd(Part):
    """crowd.py in the bench's cgroup and a network namespace."""

    def __init__(self, bench, namespace, *words):
        command = [sys.executable, Path(__file__).parents[1] / "tools" / "crowd.py", *words]
        self.command = bench.cgroup.inside(namespace.inside(command))
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        start_new_session=True)

    def hear(self):
        return json.loads(self.process.stdout.readline())

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.communicate(timeout=20)


def responses(samples, **labels):
    """code -> count"""
    counts = Counter()
    for sample in select(samples, "upstat_server_responses_total", **labels):
        if sample.value:
            counts[int(sample.labels["code"])] += int(sample.value)
    return counts


def everything(samples):
    """Over all servers, the overflow among them."""
    names = ("requests", "connects", "unanswered")
    return {**{name: total(samples, f"upstat_server_{name}_total") for name in names},
            "outstanding": total(samples, "upstat_server_outstanding_requests"), "responses": responses(samples)}


def places(samples):
    return {s.labels["place"]: int(s.value) for s in select(samples, "upstat_kernel_errors_total") if s.value}


def visit(server, times):
    """So many 200 and 404 on one connection."""
    connection = server.connect()
    for _ in range(times):
        connection.ask()
        connection.answer(OK)
        connection.ask()
        connection.answer(NOT_FOUND)
    connection.close()


def test_more_servers_than_the_tables_hold(stage, stack):
    """Each server makes three entries: its connections, its 200 and its 404."""
    run_anew(stage, flags=SMALL)
    servers = [Server(stage) for _ in range(12)]
    for server in servers:
        stack.callback(server.close)
    for number, server in enumerate(servers, start=1):
        visit(server, number)
    for number, server in enumerate(servers[:4], start=1):
        server.expect({(200, "GET"): number, (404, "GET"): number})
    every = sum(range(1, 13))
    wanted = {"requests": 2 * every, "connects": 12, "unanswered": 0, "outstanding": 0, "responses": {200: every, 404: every}}
    samples = stage.page()
    assert everything(samples) == wanted

    # The servers 5 to 12 have no entry for their requests, and 6 to 12 none at all: the last of 16 is left for others.
    assert total(samples, "upstat_server_requests_total", server=OVERFLOW) == 2 * sum(range(5, 13))
    assert responses(samples, server=OVERFLOW)[404] == sum(range(6, 13)) + 5 - responses(samples, server=servers[4].label)[404]
    assert places(samples)["totals_full"] == 2 * 2 * every + 12 - (
        sum(total(samples, f"upstat_server_{name}_total", server=server.label)
            for name in ("requests", "responses", "connects") for server in servers))
    assert "overflow_full" not in places(samples)
    assert total(samples, "traefik_backend_requests_total", backend="all") == sum(
        sum(responses(samples, server=server.label).values()) for server in servers)
    assert stage.agent.log.count("Raise bpf.requests-size and restart upstat: what was counted stays") == 1
    assert stage.agent.log.count("Raise bpf.totals-size and bpf.requests-size and restart upstat") == 1
    status = subprocess.run([OWN, "status", "--web.listen-address", stage.agent.address], capture_output=True, text=True,
                            check=True).stdout
    assert "totals: 15 of 16 (94 %)" in status and "requests: 4 of 4 (100 %)" in status and "overflow: " in status

    # What the log line asks for: nothing is lost by it, and from then on every server is told.
    run_again(stage, flags={"--bpf.totals-size": 1000, "--bpf.requests-size": 1000})
    check_attached(stage)
    assert everything(stage.page()) == wanted
    before = responses(samples, server=servers[11].label)[404]
    visit(servers[11], 2)
    samples = stage.page()
    assert responses(samples, server=servers[11].label)[404] == before + 2
    assert everything(samples) == {**wanted, "requests": 2 * every + 4, "connects": 13, "responses": {200: every + 2, 404: every + 2}}


def test_an_agent_has_sockets_look_at_the_records_again(stage):
    """The one before may have been killed between the records and their epoch."""
    def epoch():
        pin, = stage.agent.pin_path.glob("*/records_epoch")
        said = subprocess.run(["bpftool", "-j", "map", "dump", "pinned", pin], capture_output=True, text=True, check=True)
        return json.loads(said.stdout)[0]["formatted"]["value"]
    stage.page()
    wait_for(lambda: epoch() > 0, 20, "an epoch")
    before = epoch()
    run_again(stage, end="kill")
    stage.page()
    wait_for(lambda: epoch() > before, 20, "a new epoch")


def test_no_overflow_series_while_there_is_room(stage):
    server = Server(stage)
    visit(server, 1)
    assert not [s for s in stage.page() if s.labels.get("server") == OVERFLOW]
    server.close()


def test_a_warning_before_a_table_is_full(stage, stack):
    run_anew(stage, flags={"--bpf.totals-size": 1000, "--bpf.requests-size": 10})
    for number in range(1, 10):
        assert ("holds" in stage.agent.log) == (number == 10)
        server = Server(stage)
        stack.callback(server.close)
        visit(server, 1)
    line = "the kernel map requests holds 9 of 10 servers. Raise bpf.requests-size"
    wait_for(lambda: line in stage.agent.log, 10, "a warning")
    stage.page()
    assert stage.agent.log.count(line) == 1


def test_sockets_without_memory(stage, stack):
    """The kernel has no memory for the state of some connections: their connects are counted, their requests are not, and
    every attempt to get that memory is told. All other connections are exact."""
    namespace = stack.enter_context(NetNamespace())
    host = Path("/proc/sys/net/core/optmem_max").read_text()
    stack.callback(lambda: Path("/proc/sys/net/core/optmem_max").write_text(host))  # kernels before 6.9 have but one
    namespace.set_sysctl("net.core.optmem_max", 16000)
    ports = {what: stage.port() for what in ("starved", "fed")}
    crowds = [stack.enter_context(Crowd(stage, namespace, "crowd", "127.0.0.1", port, 50, what)) for what, port in ports.items()]
    for step in ("open", "exchanged"):
        for crowd in crowds:
            assert crowd.hear() == {step: 50}
            crowd.go_on()
    labels = {what: f"127.0.0.1:{port}" for what, port in ports.items()}
    samples = stage.page()
    assert responses(samples, server=labels["fed"]) == {200: 50}
    assert total(samples, "upstat_server_requests_total", server=labels["fed"]) == 50
    assert {total(samples, "upstat_server_connects_total", server=label) for label in labels.values()} == {50}
    assert responses(samples, server=labels["starved"]) == {}
    assert total(samples, "upstat_server_requests_total", server=labels["starved"]) == 0
    assert places(samples)["storage_failed"] >= 50
    wait_for(lambda: "net.core.optmem_max" in stage.agent.log, 10, "a line in the log")


def test_a_port_scan(stage, stack):
    """Each closed port makes two entries. No backend lists them, so they take no more than half. What was known before stays
    exact, so does what comes later and is listed, and the sums stay exact."""
    run_anew(stage, flags={"--bpf.totals-size": 4000})
    namespace = stack.enter_context(NetNamespace())
    known = Server(stage)
    stack.callback(known.close)
    visit(known, 3)
    scan = stack.enter_context(Crowd(stage, namespace, "scan", "127.0.0.2", 10000, 20000))
    assert scan.hear() == {"refused": 20000}
    visit(known, 3)
    samples = stage.page()
    known.expect({(200, "GET"): 6, (404, "GET"): 6})
    assert everything(samples)["responses"] == {200: 6, 404: 6}
    spilled = 40000 - (2000 - 3)
    assert places(samples)["totals_full"] == places(samples)["share_full"] == spilled
    assert spilled == total(samples, "upstat_server_connects_total", server=OVERFLOW) + total(
        samples, "upstat_server_connect_failures_total", server=OVERFLOW, reason="refused")
    late = Server(stage)
    stack.callback(late.close)
    visit(late, 1)
    late.expect({(200, "GET"): 1, (404, "GET"): 1})
    assert everything(stage.page())["responses"] == {200: 7, 404: 7}


def test_no_traefik_takes_anothers_room(stage, stack):
    """Another one asks 30 servers that no backend lists: 60 entries. Then one that is listed answers 60 codes."""
    run_anew(stage, flags={"--bpf.totals-size": 100})
    own, listed = Server(stage), Server(stage)
    for server in (own, listed):
        stack.callback(server.close)
    visit(own, 2)
    other = stack.enter_context(Cgroup())
    client = stack.enter_context(RemoteClient(other))
    run_again(stage, flags={"--traefik.cgroup": other.path})

    def entries():
        return total(stage.page(), "upstat_map_entries", map="totals")
    assert entries() == 3
    for port in range(20000, 20030):
        with pytest.raises(ConnectionRefusedError):
            client.call("connect", socket.AF_INET, ("127.0.0.2", port))
    assert entries() == 3 + 49  # it has more than the 48 that are left
    wait_for(lambda: "bpf.totals-size and bpf.requests-size" in stage.agent.log, 10, "a line in the log")
    run_again(stage, flags={"--traefik.cgroup": stage.cgroup.path})

    def answer(server, codes):
        connection = server.connect()
        for code in codes:
            connection.ask()
            connection.answer(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % code)
        connection.close()
    answer(own, [429] * 5)
    own.expect({(200, "GET"): 2, (404, "GET"): 2, (429, "GET"): 5})
    answer(listed, range(200, 260))
    assert entries() == 49 + 46  # more than nine times the 5 that are left
    samples = stage.page()
    assert responses(samples) == {**{code: 1 for code in range(200, 260)}, 200: 3, 404: 2, 429: 5}
    assert places(samples)["totals_full"] == places(samples)["share_full"] == (60 - 49) + (1 + 60 - (46 - 4))


@pytest.mark.parametrize("workers, each", [(6, 8400)])
def test_fifty_thousand_open_connections(stage, stack, workers, each):
    namespace = stack.enter_context(NetNamespace())
    ports = [stage.port() for _ in range(workers)]
    crowds = [stack.enter_context(Crowd(stage, namespace, "crowd", "127.0.0.1", port, each)) for port in ports]
    for step in ("open", "exchanged"):
        for crowd in crowds:  # all are open before the first request
            assert crowd.hear() == {step: each}
        for crowd in crowds:
            crowd.go_on()
    samples = stage.page()
    for port in ports:
        label = f"127.0.0.1:{port}"
        assert responses(samples, server=label) == {200: each}
        assert total(samples, "upstat_server_connects_total", server=label) == each
    assert everything(samples) == {"requests": workers * each, "connects": workers * each, "unanswered": 0, "outstanding": 0,
                                   "responses": {200: workers * each}}
    assert not places(samples).keys() & {"storage_failed", "totals_full", "unknown_stream"}
