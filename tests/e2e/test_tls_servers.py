# SPDX-License-Identifier: Apache-2.0
"""Servers behind TLS and HTTP/2: their packets show nothing, and each response is counted all the same, once.

UPSTAT_TLS_REQUESTS says how many are sent to each protocol in turn (2,000 in all).
"""

import json
import mmap
import os
import random
import shutil
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from parts import servers
from parts.base import free_port, get, wait_for
from parts.cgroup import Cgroup
from parts.exposition import select, total
from parts.load import Clients, Request, Wrk, streams
from parts.namespace import PidNamespace
from parts.talkative import Talkative
from parts.tls import Authority
from parts.traefik import Traefik
from parts.upstat import Upstat, broken_invariants
from parts.veiled import CaddyH2c, CaddyProxy, CaddyTls, NginxTls, NodeH2, url_of

REQUESTS = int(os.environ.get("UPSTAT_TLS_REQUESTS", "2000"))
ASKED = ((200, "GET"), (404, "GET"), (503, "POST"), (204, "PUT"), (403, "PURGE"))


class Scene:
    """A Traefik in its own cgroup and an agent on it."""

    def __init__(self, stack, directory, traefik_binary, upstat_binary):
        self.stack, self.directory = stack, directory
        self.traefik_binary, self.upstat_binary = traefik_binary, upstat_binary
        self.authority = Authority(directory)
        self.cgroup = stack.enter_context(Cgroup())

    def serve(self, *parts):
        for part in parts:
            self.stack.enter_context(part)
        return parts

    def route(self, services, **more):
        self.traefik = self.stack.enter_context(Traefik(self.traefik_binary, self.directory, self.cgroup, services, **more))
        return self.traefik

    def count(self, named_by="pid", **flags):
        flags = {f"--{name.replace('_', '.')}": value for name, value in flags.items()}
        self.upstat = self.stack.enter_context(Upstat(self.upstat_binary, self.directory,
                                                      {**self.traefik.flags(named_by), **flags}))
        return self.upstat

    def wait_for_probe(self, words="counted"):
        def said():
            return json.loads(self.upstat.ask("status", "--output=json"))["traefiks"]
        wait_for(lambda: any(traefik["tls"].startswith(words) for traefik in said()), 20, lambda: f"{words} in {said()}")

    def assert_exact(self, *parts):
        """Each server's log has what was counted for it."""
        def differences():
            counted = self.upstat.server_counts()
            return {part.kind: part.differs(counted) for part in parts if part.differs(counted)}
        try:
            wait_for(lambda: not differences(), 15, "counts as in the logs")
        except AssertionError:
            assert not differences(), "(log, upstat)"
        self.upstat.settle()
        assert not differences(), "(log, upstat)"
        assert broken_invariants(self.upstat.samples(), 0) == []


@pytest.fixture
def scene(stack, tmp_path, traefik_binary, upstat_binary):
    return Scene(stack, tmp_path, traefik_binary, upstat_binary)


def asked_of(parts):
    return [Request(f"/{part.kind}/status/{code}", method) for part in parts for code, method in ASKED]


def test_every_protocol(scene, tmp_path):
    """HTTP/1 and HTTP/2 over TLS, h2c and clear text side by side; one server is known by its name."""
    named = NginxTls(tmp_path, scene.authority, kind="named")
    parts = scene.serve(NginxTls(tmp_path, scene.authority), NginxTls(tmp_path, scene.authority, h2=True),
                        CaddyTls(tmp_path, scene.authority), CaddyH2c(tmp_path), servers.Nginx(tmp_path), named)
    services = {part.kind: [url_of(part)] for part in parts}
    services["named"] = [f"https://LocalHost:{named.port}"]
    scene.route(services)
    upstat = scene.count()
    scene.wait_for_probe()
    Wrk(tmp_path, scene.traefik.url, asked_of(parts), each=REQUESTS // 4, connections=4).run()
    named.address = f"localhost:{named.port}"
    scene.assert_exact(*parts)
    assert sum(upstat.backend_counts().values()) == sum(sum(part.logged().values()) for part in parts) == REQUESTS // 4 * 4


def test_what_is_rare(scene, tmp_path):
    """Upgrades, 103 before 200, mirrors, error pages, retries, a server that asks for certificates, one that cuts."""
    talkative, strict, mirror, pages = scene.serve(
        Talkative(scene.authority), NginxTls(tmp_path, scene.authority, client=True, kind="strict", name="shop.example"),
        NginxTls(tmp_path, scene.authority, h2=True, kind="mirror"), CaddyTls(tmp_path, scene.authority))
    certificate, key = scene.authority.issue("client", "clientAuth")

    def more(http):
        http["serversTransports"] = {"mutual": {"serverName": "shop.example", "insecureSkipVerify": True,
                                                "certificates": [{"certFile": str(certificate), "keyFile": str(key)}]}}
        http["services"]["strict"]["loadBalancer"]["serversTransport"] = "mutual"
        http["services"]["both"] = {"mirroring": {"service": "talkative", "mirrors": [{"name": "mirror", "percent": 100}]}}
        http["services"]["half-dead"] = {"loadBalancer": {"servers": [
            {"url": f"https://127.0.0.1:{free_port()}"}, {"url": url_of(talkative)}]}}
        http["middlewares"]["pages"] = {"errors": {"status": ["500-599"], "service": "caddy-h2", "query": "/status/410"}}
        http["middlewares"]["again"] = {"retry": {"attempts": 4}}
        for name, middleware, service in (("both", None, "both"), ("paged", "pages", "talkative"), ("again", "again", "half-dead")):
            http["middlewares"][f"strip-{name}"] = {"stripPrefix": {"prefixes": [f"/{name}"]}}
            http["routers"][name] = {"rule": f"PathPrefix(`/{name}/`)", "service": service, "entryPoints": ["web"],
                                     "middlewares": [f"strip-{name}", *([middleware] if middleware else [])]}

    parts = (talkative, strict, mirror, pages)
    scene.route({part.kind: [url_of(part)] for part in parts}, more=more)
    scene.count()
    scene.wait_for_probe()
    plan = [Request(path, method, headers=(("Host", "shop.example"),)) for path, method in (
        ("/talkative/status/404", "HEAD"), ("/talkative/cut", "POST"), ("/strict/status/403", "GET"),
        ("/both/status/410", "GET"), ("/paged/status/503", "GET"), ("/again/status/204", "GET"))] * 40
    seen = Counter((done.request.path, done.status) for done in Clients(scene.traefik.url, plan, clients=4).run())
    assert seen["/talkative/status/404", 404] == seen["/paged/status/503", 503] == seen["/talkative/cut", 502] == 40
    for _ in range(5):
        upgraded(scene.traefik.port)
        early(scene.traefik.port)
    wait_for(lambda: mirror.logged()[410, "GET"] == 40, 10, lambda: f"each request mirrored: {mirror.logged()}")
    scene.assert_exact(*parts)
    assert talkative.logged[101, "GET"] == talkative.logged[200, "GET"] == 5
    assert strict.logged() == {(403, "GET"): 40} and pages.logged() == {(410, "GET"): 40}


def early(port):
    """Python's own client takes a 103 for the response."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /talkative/early HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        said = b"".join(iter(lambda: client.recv(4096), b""))
        assert b" 103 " in said and b" 200 " in said, said


def upgraded(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /talkative/upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = client.recv(1)
            assert byte, head
            head += byte
        assert b" 101 " in head
        client.sendall(b"HTTP/1.1 500 No\r\n\r\n")
        assert client.recv(1) == b"H"


def test_a_thousand_streams_on_one_connection(scene, tmp_path):
    part, = scene.serve(NodeH2(tmp_path, scene.authority, together=1000))
    scene.route({part.kind: [url_of(part)]})
    scene.count()
    scene.wait_for_probe()
    get(f"{scene.traefik.url}/{part.kind}/status/200")  # the connection is there: else each of the first ones makes one
    streams(scene.traefik.url, [f"/{part.kind}/together/{code}" for code in (200, 404, 503)], 3000, connections=4, each=250)
    assert part.logged() == {(200, "GET"): 1001, (404, "GET"): 1000, (503, "GET"): 1000} and len(part.connections()) == 1
    scene.assert_exact(part)


def test_two_traefiks(scene, tmp_path):
    """Both ask the same servers, and each is counted by itself. fastProxy leaves to Go's proxy what may be HTTP/2; where
    it may not be, fastProxy speaks TLS itself, and that is said."""
    space = scene.stack.enter_context(PidNamespace())
    parts = scene.serve(NginxTls(tmp_path, scene.authority), CaddyTls(tmp_path, scene.authority), CaddyH2c(tmp_path))
    alone, = scene.serve(NginxTls(tmp_path, scene.authority, kind="alone"))

    def never_http2(http):
        http["serversTransports"] = {"h1": {"insecureSkipVerify": True, "disableHTTP2": True}}
        http["services"]["alone"]["loadBalancer"]["serversTransport"] = "h1"

    traefiks = []
    for name, more in (("plain", {}), ("fast", {"experimental": {"fastProxy": {}}, "more": never_http2})):
        asked = parts if name == "plain" else (*parts, alone)
        traefik = Traefik(scene.traefik_binary, tmp_path, scene.stack.enter_context(Cgroup()),
                          {part.kind: [url_of(part)] for part in asked}, name=name, **more)
        traefik.enter(space)
        traefiks.append(scene.stack.enter_context(traefik))
    upstat = scene.upstat = Upstat(scene.upstat_binary, tmp_path)
    upstat.process.command = space.inside(upstat.process.command)
    scene.stack.enter_context(upstat)

    def states():
        return sorted(traefik["tls"] for traefik in json.loads(upstat.ask("status", "--output=json"))["traefiks"])
    wait_for(lambda: states() == ["counted", "counted; fastProxy is on: not where a serversTransport has disableHTTP2"], 20,
             lambda: f"both counted: {states()}")
    for traefik, each in zip(traefiks, (20, 30)):
        Clients(traefik.url, asked_of(parts) * each, clients=2).run()
    get(f"{traefiks[1].url}/alone/status/200")
    scene.assert_exact(*parts)
    counted = Counter()
    for sample in select(upstat.samples(), "upstat_server_responses_total"):
        counted[sample.labels["traefik"], sample.labels["server"]] += sample.value
    assert {key: count for key, count in counted.items() if count} == {
        (traefik.cgroup.path.name, part.address): each * len(ASKED) for traefik, each in zip(traefiks, (20, 30)) for part in parts}
    assert total(upstat.samples(), "upstat_server_unread_connections_total", server=alone.address, reason="tls") == 1


def test_ten_kills_under_load(scene, tmp_path):
    """The probe is pinned: it goes on while no agent runs."""
    parts = scene.serve(NginxTls(tmp_path, scene.authority), CaddyH2c(tmp_path))
    scene.route({part.kind: [url_of(part)] for part in parts})
    upstat = scene.count()
    scene.wait_for_probe()
    clients = Clients(scene.traefik.url, asked_of(parts) * 3000, clients=4, rate=400)
    dice = random.Random(3)
    with clients.start():
        for _ in range(10):
            wait_for(lambda n=len(clients.done) + dice.randint(20, 80): len(clients.done) >= n, 30, "some more responses")
            upstat.kill()
            wait_for(lambda n=len(clients.done) + dice.randint(20, 120): len(clients.done) >= n, 30, "some without an agent")
            upstat.launch()
            if dice.random() < 0.3:
                upstat.wait_until_ready()
        upstat.wait_until_ready()
        clients.stop()
    scene.assert_exact(*parts)
    assert len(clients.done) == sum(sum(part.logged().values()) for part in parts)


def test_a_service_that_changes_to_tls_and_back(scene, tmp_path):
    clear, veiled = scene.serve(servers.Nginx(tmp_path), NginxTls(tmp_path, scene.authority, h2=True))
    scene.route({"shop": [url_of(clear)]})
    upstat = scene.count(probe_tls="on")
    scene.wait_for_probe()
    with Clients(scene.traefik.url, [Request(f"/shop/status/{code}", method) for code, method in ASKED] * 4000, clients=4,
                 rate=500).start() as clients:
        for part in (veiled, clear) * 2:
            before = sum(part.logged().values())
            scene.traefik.write_services({"shop": [url_of(part)]})
            wait_for(lambda p=part, n=before: sum(p.logged().values()) > n + 50, 20, "the other server is asked")
        clients.stop()
    scene.assert_exact(clear, veiled)
    assert len(clients.done) == sum(upstat.server_counts().values()) == sum(upstat.backend_counts().values())


def test_only_where_there_is_something_to_probe(scene, tmp_path):
    clear, veiled = scene.serve(servers.Nginx(tmp_path), NginxTls(tmp_path, scene.authority))
    scene.route({"nginx": [url_of(clear)]})
    upstat = scene.count()
    scene.wait_for_probe("no such server is known")
    assert not (upstat.pin_path / "probes").exists()
    scene.traefik.write_services({"nginx": [url_of(clear)], "nginx-tls": [url_of(veiled)]})
    scene.wait_for_probe()
    Clients(scene.traefik.url, asked_of([clear, veiled]) * 20, clients=2).run()
    scene.assert_exact(clear, veiled)


def test_a_traefik_that_is_upgraded(scene, tmp_path):
    """Another file takes its place, or the same one starts again, and its first responses are counted."""
    part, = scene.serve(NginxTls(tmp_path, scene.authority))
    binary = tmp_path / "traefik-of-the-test"
    shutil.copy(scene.traefik_binary, binary)
    scene.traefik_binary = binary
    scene.route({part.kind: [url_of(part)]})
    scene.count(named_by="cgroup")
    scene.wait_for_probe()
    for is_new in (True, False, True):
        Clients(scene.traefik.url, asked_of([part]) * 4, clients=2).run()
        scene.traefik.stop()
        if is_new:
            shutil.copy(binary, binary.with_suffix(".new"))
            binary.with_suffix(".new").rename(binary)
        first = threading.Thread(target=ask_until_answered, args=(f"{scene.traefik.url}/{part.kind}/status/200",))
        first.start()
        scene.traefik.start()
        first.join()
    scene.assert_exact(part)


def ask_until_answered(url, bound=30):
    end = time.monotonic() + bound
    while time.monotonic() < end:
        try:
            get(url)
            return
        except OSError:  # nobody listens yet, or its configuration is not there
            time.sleep(0.001)
    raise AssertionError(f"{url} gave no response")


def test_what_is_not_known_is_not_probed(scene, tmp_path):
    """Caddy has Go's reverse proxy too; Debian's is of a Go that the probe does not know. Nothing else is harmed."""
    veiled, clear = scene.serve(NginxTls(tmp_path, scene.authority), servers.Nginx(tmp_path))
    proxy = scene.stack.enter_context(CaddyProxy(tmp_path, {"nginx": url_of(clear), "nginx-tls": url_of(veiled)}))
    backends = tmp_path / "backends.yml"
    backends.write_text(f"backends: {{nginx: ['{clear.address}']}}")
    scene.upstat = scene.stack.enter_context(Upstat(scene.upstat_binary, tmp_path,
                                                    {"--traefik.pid": proxy.pid, "--probe.tls": "on", "--backends.file": backends}))
    scene.wait_for_probe("not counted: responses of TLS and HTTP/2 servers cannot be counted: the program was built by go1.19")
    Clients(proxy.url, asked_of([clear]) * 4, clients=2).run()
    wait_for(lambda: sum(scene.upstat.server_counts().values()) == 20, 10, "what is read of packets is counted")


@contextmanager
def changed(binary, changes):
    """(offset, bytes) in a file while it does not run, which then has what it had."""
    with open(binary, "r+b") as file:
        def write(all_of_it):
            kept = []
            for offset, new in all_of_it:
                file.seek(offset)
                kept.append((offset, file.read(len(new))))
                file.seek(offset)
                file.write(new)
            file.flush()
            return kept
        before = write(changes)
    yield
    with open(binary, "r+b") as file:
        write(before)


def damages(binary):
    """What is changed, as in `changed`, and what is said of it."""
    with open(binary, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        info = text.find(b"\xff Go buildinf:\x08\x02")
        name = text.find(b"\0net/http/httputil.(*ReverseProxy).modifyResponse\0")
    assert info > 0 and name > 0
    packed = "the program has no build information of Go's: it is packed, or no Go program"
    # e_shoff; e_shentsize, e_shnum and e_shstrndx: UPX leaves none, and what it leaves starts as this does
    yield [(0x28, bytes(8)), (0x3a, bytes(6))], packed
    yield [(info, bytes(14))], packed
    yield [(name + 1, b"X")], "the program has no function net/http/httputil.(*ReverseProxy).modifyResponse"


def test_a_traefik_that_cannot_be_probed(scene, tmp_path):
    """It is refused with a sentence, and nothing else is harmed. The file is known as one that could be."""
    veiled, clear = scene.serve(NginxTls(tmp_path, scene.authority), servers.Nginx(tmp_path))
    binary = tmp_path / "bin" / "traefik"
    binary.parent.mkdir()
    scene.traefik_binary = shutil.copy(scene.traefik_binary, binary)
    scene.route({part.kind: [url_of(part)] for part in (veiled, clear)})
    scene.count(named_by="cgroup")
    scene.wait_for_probe()
    scene.traefik.stop()
    for changes, words in damages(binary):
        with changed(binary, changes):
            scene.traefik.start()
            scene.wait_for_probe(f"not counted: responses of TLS and HTTP/2 servers cannot be counted: {words}")
            statuses = Clients(scene.traefik.url, asked_of([clear, veiled]) * 4, clients=2).run()
            assert Counter(done.status for done in statuses) == {code: 8 for code, _ in ASKED}
            scene.assert_exact(clear)
            scene.traefik.stop()
    scene.traefik.start()
    assert not any(server == veiled.address for server, _, _ in scene.upstat.server_counts())
    scene.wait_for_probe()
    Clients(scene.traefik.url, asked_of([veiled]), clients=2).run()
    wait_for(lambda: sum(count for (server, _, _), count in scene.upstat.server_counts().items() if server == veiled.address)
             == len(ASKED), 10, "it is counted again as it was built")


def test_the_alert_of_a_backend_behind_tls(scene, tmp_path):
    part, = scene.serve(NginxTls(tmp_path, scene.authority, h2=True))
    scene.route({part.kind: [url_of(part)]})
    upstat = scene.count(alert_window="3s", alert_for="1s")
    scene.wait_for_probe()
    plan = [Request(f"/{part.kind}/status/{code}") for code in (200, 200, 404)] * 1000
    with Clients(scene.traefik.url, plan, clients=2, rate=100).start() as clients:
        wait_for(lambda: upstat.alert(f"{part.kind}@file")[0] == "firing", 30, "the alert fires")
        clients.stop()
