# SPDX-License-Identifier: Apache-2.0
"""What Traefik asks by itself is no user's: health checks, forwardAuth, and what else reaches a server of a backend. The oracle
of the users' responses is Traefik's own metrics by service; the rest of nginx's log is Traefik's own."""

import os
import signal
import socket
from collections import Counter

import pytest

from parts import counts
from parts.base import free_port, wait_for
from parts.exposition import total
from parts.load import Clients, Request
from parts.rig import Rig
from parts.upstat import broken_invariants

FORGED = (("X-Forwarded-Server", "me"), ("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", "/"))
LONG = (("A", "a" * 6000), ("B", "b" * 6000))  # more than Traefik writes at once


@pytest.fixture
def rig(stack, tmp_path, traefik_binary):
    """nginx's servers: one whose check expects a 401, and one that is a backend's and the one that forwardAuth asks."""
    rig = Rig(tmp_path, traefik_binary, ("127.0.0.1", "::1", "127.0.0.1"), {"checked": [0], "login": [1], "shop": [2]})
    rig.traefik.checked["checked"] = {"path": "/status/401", "interval": "200ms", "status": 401}
    rig.traefik.authenticated["shop"] = f"http://{rig.nginx.servers[1]}/status/401"
    rig.traefik.tcp["both"] = rig.nginx.servers[2]
    rig.traefik.tcp_ports["both"] = free_port()
    return stack.enter_context(rig)


def is_told(upstat, rig):
    """Whether the programs tell Traefik's own requests apart."""
    return any(server == rig.nginx.servers[0] for server, _, _ in counts.of_upstat_probes(upstat.samples()))


def since(before, after):
    return Counter({key: count - before.get(key, 0) for key, count in after.items() if count != before.get(key, 0)})


def requests_of_all_kinds(rig):
    """50 that forwardAuth refuses, each after a request to the login's server; users who ask for the check's very path, and
    one who says that he came by a proxy; TCP through a router."""
    plan = ([Request("/shop/status/200")] * 40 + [Request("/shop/status/200", headers=LONG)] * 10 + [Request("/login/status/200")] * 20 + [Request("/checked/status/200")] * 20
            + [Request("/checked/status/401")] * 7
            + [Request("/login/status/404", headers=(*FORGED, *LONG))] * 3)
    Clients(rig.traefik.url, plan, clients=2).run()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", rig.traefik.tcp_ports["both"]), timeout=20) as connection:
            connection.sendall(b"GET /status/403 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b"".join(iter(lambda: connection.recv(65536), b"")).startswith(b"HTTP/1.1 403")


def test_a_backend_has_its_users_responses_only(rig, agent):
    upstat = agent(rig)
    wait_for(lambda: is_told(upstat, rig), 20, "a health check is told apart")
    checked, login, shop = rig.nginx.servers
    upstat.settle()
    before = upstat.backend_counts()

    requests_of_all_kinds(rig)

    wanted = Counter({("login@file", 200, "GET"): 20, ("login@file", 404, "GET"): 3, ("checked@file", 200, "GET"): 20,
                      ("checked@file", 401, "GET"): 7})
    assert rig.traefik.counts() == wanted
    upstat.wait_for_counts(wanted, lambda: since(before, upstat.backend_counts()))
    probes = counts.of_upstat_probes(upstat.samples())
    assert probes[login, "forward-auth", 401] == 50
    assert probes[shop, "other", 403] == 5
    assert set(probes) == {(checked, "health-check", 401), (login, "forward-auth", 401), (shop, "other", 403)}
    assert broken_invariants(upstat.samples(), 0) == []


def test_two_checks_of_one_server_and_a_trusted_user(rig, agent):
    """Two services check a server by a method each. Traefik trusts a client, who sends what forwardAuth sends, to the server that it
    asks: forwardAuth has connections of its own, and a user's are told by the users before him."""
    checked, login = rig.nginx.servers[:2]
    rig.traefik.stop()
    rig.traefik.trusting = True
    rig.traefik.services["also"] = [f"http://{checked}"]
    rig.traefik.checked["also"] = {"path": "/status/401", "interval": "200ms", "status": 401, "method": "HEAD"}
    rig.traefik.start()
    upstat = agent(rig)
    wait_for(lambda: is_told(upstat, rig), 20, "a health check is told apart")
    upstat.settle()
    before = upstat.backend_counts()
    Clients(rig.traefik.url, [Request("/shop/status/200"), Request("/login/status/200")] * 5, clients=1).run()
    Clients(rig.traefik.url, [Request("/login/status/404", headers=FORGED), Request("/shop/status/200")] * 5, clients=1).run()
    wanted = Counter({("login@file", 200, "GET"): 5, ("login@file", 404, "GET"): 5})
    upstat.wait_for_counts(wanted, lambda: since(before, upstat.backend_counts()))
    assert {(server, kind) for server, kind, _ in counts.of_upstat_probes(upstat.samples())} == {
        (checked, "health-check"), (login, "forward-auth")}


def test_each_health_check_is_counted_once(rig, agent):
    """Between two moments at which Traefik stands still, what nginx logged is what was counted, as a user's or as Traefik's."""
    upstat = agent(rig)
    wait_for(lambda: is_told(upstat, rig), 20, "a health check is told apart")
    server = rig.nginx.servers[0]

    def counted():
        samples = upstat.samples()
        assert broken_invariants(samples, 1) == []
        return Counter({name: total(samples, f"upstat_server_{name}_total", server=server)
                        for name in ("responses", "probe_requests", "probe_responses", "probe_unanswered")})

    def logged():
        return sum(row.server == server for row in rig.nginx.rows())

    os.kill(rig.traefik.pid, signal.SIGSTOP)
    upstat.settle()
    first, rows = counted(), logged()
    os.kill(rig.traefik.pid, signal.SIGCONT)
    Clients(rig.traefik.url, [Request("/checked/status/401")] * 30, clients=2).run()
    wait_for(lambda: logged() - rows >= 35, 20, "5 checks")
    os.kill(rig.traefik.pid, signal.SIGSTOP)
    upstat.settle()
    last, answered = counted(), logged() - rows
    os.kill(rig.traefik.pid, signal.SIGCONT)

    assert last["responses"] - first["responses"] == 30
    assert last["probe_responses"] - first["probe_responses"] == answered - 30
    assert last["probe_requests"] == last["probe_responses"] + last["probe_unanswered"]


def test_what_a_provider_is_asked_is_no_users(stack, tmp_path, traefik_binary, agent):
    """Traefik's own settings say that it asks a backend's server for its configuration."""
    rig = Rig(tmp_path, traefik_binary, ("127.0.0.1",), {"shop": [0]})
    rig.traefik.provider = f"http://{rig.nginx.servers[0]}/status/404"
    upstat = agent(stack.enter_context(rig))
    server = rig.nginx.servers[0]

    def asked():
        return counts.of_upstat_probes(upstat.samples())[server, "other", 404]

    wait_for(lambda: asked() > 0, 20, "the provider's requests are told apart")
    upstat.settle()
    before = upstat.backend_counts()
    seen = asked()
    Clients(rig.traefik.url, [Request("/shop/status/200")] * 20, clients=2).run()
    wait_for(lambda: asked() >= seen + 3, 20, "three more")
    assert since(before, upstat.backend_counts()) == {("shop@file", 200, "GET"): 20}
