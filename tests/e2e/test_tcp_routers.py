# SPDX-License-Identifier: Apache-2.0
"""What goes through Traefik's TCP routers is none of its HTTP: a server that only TCP services list has no series."""

import json
import socket
from collections import Counter

import pytest

from parts import counts
from parts.base import free_port, wait_for
from parts.exposition import total
from parts.load import Clients, Request
from parts.rig import Rig
from parts.talker import Talker
from parts.upstat import broken_invariants

SERIES = ("upstat_server_requests_total", "upstat_server_responses_total", "upstat_server_unanswered_total",
          "upstat_server_connects_total", "upstat_server_unread_connections_total")
LINES = (b"EHLO client.example\r\n", b"MAIL FROM:<a@client.example>\r\n", b"SET key value\r\n", b"GET key\r\n",
         b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", b"GET / HTTP/1.1\r\n")
LAST = b"GET /status/200 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
PIPELINED = b"GET /status/404 HTTP/1.1\r\nHost: x\r\n\r\n" * 5 + LAST


def say_ok(read, write):
    """To each line, as a mail server or a Redis might."""
    for _ in read:
        write.write(b"+OK\r\n")


@pytest.fixture
def lines(stack):
    return stack.enter_context(Talker(say_ok))


@pytest.fixture
def rig(stack, tmp_path, traefik_binary, lines):
    """nginx's servers: of a backend, of a TCP router alone, of both, and one that forwardAuth asks."""
    rig = Rig(tmp_path, traefik_binary, ("127.0.0.1",) * 4, {"web": [0], "both": [2]})
    _, alone, both, auth = rig.nginx.servers
    rig.traefik.tcp.update({"lines": lines.address, "alone": alone, "both": both})
    rig.traefik.tcp_ports.update({name: free_port() for name in rig.traefik.tcp})
    rig.traefik.authenticated["web"] = f"http://{auth}/status/200"
    return stack.enter_context(rig)


def talk(port):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for line in LINES:
            connection.sendall(line)
            assert connection.recv(5, socket.MSG_WAITALL) == b"+OK\r\n"


def send(port, requests):
    """All of them in one segment."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(requests)
        said = b"".join(iter(lambda: connection.recv(65536), b""))
    assert said.count(b"HTTP/1.1 ") == requests.count(b"HTTP/1.1"), said


def load(rig):
    for _ in range(5):
        talk(rig.traefik.tcp_ports["lines"])
        send(rig.traefik.tcp_ports["alone"], PIPELINED)
        send(rig.traefik.tcp_ports["both"], LAST)  # to a backend's server, of whose users it is none
    done = Clients(rig.traefik.url, [Request("/web/status/404"), Request("/both/status/204")] * 20, clients=2).run()
    assert {one.status for one in done} == {404, 204}


def left_out(upstat, servers):
    """Whether the status knows just these, and no series does."""
    asked = json.loads(upstat.ask("status", "--output=json"))
    return (set(asked["left_out_servers"]) == servers
            and not any(total(upstat.samples(), name, server=server) for name in SERIES for server in servers))


def http_of(rig):
    """What nginx logged of the servers that have series, but for what came to one of them by TCP."""
    web, _, both, _ = rig.nginx.servers
    return counts.of_nginx(row for row in rig.nginx.rows() if row.server == web or (row.server == both and row.code != 200))


def test_a_server_of_tcp_routers_has_no_series(rig, lines, agent):
    upstat = agent(rig)
    load(rig)

    alone = rig.nginx.servers[1]
    wait_for(lambda: left_out(upstat, {alone, lines.address}), 10, "both servers of TCP routers alone are left out")
    upstat.wait_for_counts(http_of(rig))
    assert counts.of_upstat_probes(upstat.samples()) == {(rig.nginx.servers[2], "other", 200): 5}
    assert f"left out   2 servers of TCP or UDP services: {', '.join(sorted((alone, lines.address)))}" in upstat.ask("status")
    assert broken_invariants(upstat.samples(), 0) == []


@pytest.mark.slow
def test_a_server_of_tcp_routers_is_not_unmapped(rig, lines, agent):
    """A server that no backend lists takes a minute until it is `unmapped`: that one which forwardAuth asks is."""
    upstat = agent(rig)
    load(rig)

    def unmapped(name):
        return total(upstat.samples(), name, server="unmapped")

    wait_for(lambda: unmapped("upstat_server_responses_total") == 20, 90, lambda: f"20 unmapped: {upstat.samples()}", interval=1)
    assert unmapped("upstat_server_requests_total") == 20
    assert unmapped("upstat_server_unanswered_total") == 0
    assert left_out(upstat, {rig.nginx.servers[1], lines.address})
    upstat.wait_for_counts(http_of(rig), lambda: Counter(
        {key: count for key, count in upstat.server_counts().items() if key[0] != "unmapped"}))
