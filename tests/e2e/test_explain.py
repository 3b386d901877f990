# SPDX-License-Identifier: Apache-2.0
"""`upstat explain` on staged incidents with a real Traefik: its first sentence names the true cause, and in a quiet time none."""

import json
import socket
import threading

import pytest

from parts.base import free_port, get_json, wait_for
from parts.load import Clients, Request
from parts.nginx import Nginx
from parts.rig import Rig

GOOD = Request("/shop/status/200")
MANY = 100_000  # more than are sent in any test
FLAGS = {"--alert.window": "4s", "--alert.for": "0s"}


class Host:
    """A Traefik, its servers, an agent and load."""

    def __init__(self, stack, tmp_path, traefik_binary, agent, servers=5, layout=None, urls=None, **traefik):
        self._stack = stack
        self.rig = Rig(tmp_path, traefik_binary, addresses=("127.0.0.1",) * servers, layout=layout or {"shop": range(servers)},
                       **traefik)
        for service, more in (urls or {}).items():
            self.rig.traefik.services[service] = self.rig.traefik.services[service] + more
        stack.enter_context(self.rig)
        self.servers = self.rig.nginx.servers
        self.upstat = agent(self.rig, FLAGS)
        wait_for(lambda: "shop@file" in get_json(f"{self.upstat.url}/api/v1/backends")["backends"], 20, "the backends are known")

    def load(self, *requests, rate=150):
        clients = self._stack.enter_context(Clients(self.rig.traefik.url, list(requests) * (MANY // len(requests)), clients=3,
                                                    rate=rate))
        return clients.start()

    def counted(self, backend="shop@file"):
        return sum(get_json(f"{self.upstat.url}/api/v1/backends")["backends"][backend]["codes"].values())

    def quiet(self, *requests, backend="shop@file"):
        """Load, and a time in which nothing is wrong."""
        clients = self.load(*requests)
        wait_for(lambda: self.counted(backend) > 150, 20, "some requests are counted")
        assert self.explain()["sentence"].startswith("all is well"), self.explain()
        return clients

    def explain(self, *backend):
        return json.loads(self.upstat.ask("explain", *backend, "--output=json"))

    def wait_for_cause(self, cause, backend="shop@file"):
        """The explanation, once it names this cause and the text says the same."""
        said = None

        def named():
            nonlocal said
            said = self.explain(backend)
            return said["cause"] == cause
        wait_for(named, 25, lambda: f"{cause}, not {said}", interval=0.2)
        text = self.upstat.ask("explain", backend)
        assert text.startswith(f"{backend}: "), text
        return said


@pytest.fixture
def host(stack, tmp_path, traefik_binary, agent):
    return lambda **what: Host(stack, tmp_path, traefik_binary, agent, **what)


def test_in_a_quiet_time_with_a_few_404s_nothing_is_named(host):
    host = host()
    host.load(*[GOOD] * 60, Request("/shop/status/404"))
    wait_for(lambda: host.counted() > 1000, 30, "a thousand requests")
    assert host.upstat.ask("explain") == "all is well: 1 backends, none with anything wrong\n"
    assert host.explain("shop@file")["cause"] == "well"


def test_one_bad_server_of_five_is_named_in_the_alert_too(host):
    host = host()
    host.quiet(GOOD)
    host.rig.nginx.turn_bad(host.servers[2])
    said = host.wait_for_cause("one_server")
    assert said["sentence"].startswith(f"shop@file: 1 of 5 servers is bad: {host.servers[2]}: ")
    assert "are 404, of the others' 0 %, since " in said["sentence"]
    assert said["servers"] == [host.servers[2]]
    assert said["next"][0]["command"] == f"curl -sv -o /dev/null -H 'Host: HOST' 'http://{host.servers[2]}/PATH'"

    def explained():
        alerts = get_json(f"{host.upstat.url}/api/v1/alerts")["alerts"]
        return [one["explanation"] for one in alerts if one["state"] == "firing"]
    assert f"1 of 5 servers is bad: {host.servers[2]}" in wait_for(explained, 10, "the alert fires")[0]


def test_all_servers_bad(host):
    host = host()
    host.quiet(GOOD)
    for server in host.servers:
        host.rig.nginx.turn_bad(server)
    assert "all 5 servers are bad: " in host.wait_for_cause("all_servers")["sentence"]


def test_a_bad_deploy(host):
    host = host(servers=6, layout={"shop": [0, 1, 2]})
    host.quiet(GOOD)
    new = host.servers[3:]
    for server in new:
        host.rig.nginx.turn_bad(server)
    host.rig.traefik.write_services({"shop": [f"http://{server}" for server in new]})
    said = host.wait_for_cause("new_servers")
    assert "bad since new servers came at " in said["sentence"] and "3 servers are added: " in said["sentence"]
    assert any(fact["topic"] == "change" and "3 servers are removed" in fact["text"] for fact in said["facts"])


def test_one_route_that_gives_404(host):
    host = host()
    host.quiet(GOOD).stop()
    host.load(*[GOOD] * 3, Request("/shop/status/404"))
    assert "a part of the requests fails, on all 5 servers: " in host.wait_for_cause("some_requests")["sentence"]


def test_the_authentication_server_is_down(host, tmp_path):
    with Nginx(tmp_path / "authentication", ["127.0.0.1"]) as nginx:
        address = nginx.servers[0]
        host = host(authenticated={"shop": f"http://{address}/status/200"})
        host.quiet(GOOD)
    said = host.wait_for_cause("no_traffic")
    assert f"meanwhile {address}, which no backend lists, fails: connections " in said["sentence"]
    assert any(f"{address}, which no backend lists, fails" in problem["sentence"] for problem in host.explain()["problems"])


def test_connect_failures(host):
    dead = f"127.0.0.1:{free_port()}"
    listener = socket.create_server(("127.0.0.1", int(dead.rpartition(":")[2])))
    listener.close()
    host = host(servers=2, urls={"shop": [f"http://{dead}"]})
    host.load(GOOD)
    said = host.wait_for_cause("connect_failures")
    assert f"connections fail to 1 of 3 servers: {dead}: " in said["sentence"] and "Traefik answers 502" in said["sentence"]


def test_the_servers_limit_the_rate(host):
    host = host()
    host.quiet(GOOD).stop()
    host.load(GOOD, Request("/shop/status/429"))
    assert "all 5 servers limit the rate of requests: " in host.wait_for_cause("rate_limited")["sentence"]


def test_clients_that_give_up(host):
    host = host(servers=1)
    host.quiet(GOOD)
    end = threading.Event()
    address = ("127.0.0.1", host.rig.traefik.port)

    def give_up():
        while not end.is_set():
            with socket.create_connection(address) as client:
                client.sendall(b"GET /shop/hang HTTP/1.1\r\nHost: x\r\n\r\n")
                end.wait(0.05)
    impatient = [threading.Thread(target=give_up, daemon=True) for _ in range(4)]
    for thread in impatient:
        thread.start()
    try:
        assert "clients give up before the response: " in host.wait_for_cause("client_cancelled")["sentence"]
    finally:
        end.set()
        for thread in impatient:
            thread.join(10)


def test_a_health_check_that_fails(host):
    host = host(checked={"shop": {"path": "/status/200", "interval": "500ms", "timeout": "1s"}})
    host.quiet(GOOD)
    host.rig.nginx.turn_bad(host.servers[1])
    wait_for(lambda: "DOWN" in json.dumps(host.rig.traefik.rawdata()), 20, "Traefik finds it down")
    said = host.wait_for_cause("servers_down")
    assert f"Traefik's health check has taken 1 of 5 servers out: {host.servers[1]}" in said["sentence"]


def test_a_shared_server(host):
    host = host(servers=3, layout={"shop": [0, 1], "blog": [1, 2]})
    host.quiet(GOOD, Request("/blog/status/200"))
    host.rig.nginx.turn_bad(host.servers[1])
    assert host.servers[1] in json.dumps(host.wait_for_cause("all_servers", "blog@file|shop@file"))
    assert [host.explain(backend)["cause"] for backend in ("shop@file", "blog@file")] == ["well", "well"], "their own servers are"
