# SPDX-License-Identifier: Apache-2.0
"""Two Traefiks in two containers on two networks: equal addresses, equal names, one agent. Neither's counts reach the other."""

import os
import subprocess
from collections import Counter

import pytest

from containers import Store, command
from parts import counts
from parts.base import free_port, get_json, status_of, unique_name, wait_for
from parts.exposition import select, total
from parts.load import Clients, Wrk, bulk_mix, mix
from parts.nginx import Nginx
from parts.traefik import Traefik
from parts.upstat import Upstat

SERVER = "10.77.0.10"  # of both networks
PLAN = 400


class Network:
    """A network namespace with an address that the other one has too, and one by which the host reaches it."""

    def __init__(self, number):
        self.name = unique_name(f"net{number}")
        subnet = (2 * os.getpid() + number) % 250  # another run of this test may be under way
        self.address = f"10.201.{subnet}.2"
        self._host = f"10.201.{subnet}.1"
        self._veth = f"ups{os.getpid()}v{number}"

    def __enter__(self):
        command(["ip", "netns", "add", self.name])
        try:
            command(["ip", "link", "add", self._veth, "type", "veth", "peer", "name", "eth0", "netns", self.name])
            command(["ip", "addr", "add", f"{self._host}/24", "dev", self._veth])
            command(["ip", "link", "set", self._veth, "up"])
            for words in (["addr", "add", f"{self.address}/24", "dev", "eth0"], ["addr", "add", f"{SERVER}/32", "dev", "lo"],
                          ["link", "set", "lo", "up"], ["link", "set", "eth0", "up"]):
                command(["ip", "-n", self.name, *words])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "link", "del", self._veth], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "netns", "del", self.name], check=False)

    def inside(self, words):
        return ["ip", "netns", "exec", self.name, *words]


class Servers(Nginx):
    """In a network, where the host does not reach them."""

    def __init__(self, directory, network, ports):
        super().__init__(directory, (SERVER, SERVER), ports)
        self._process.command = network.inside(self._process.command)
        self._network = network

    def is_reachable(self, server):
        host, _, port = server.rpartition(":")
        return subprocess.run(self._network.inside(["bash", "-c", f"</dev/tcp/{host}/{port}"]), check=False,
                              stderr=subprocess.DEVNULL).returncode == 0


class Contained(Traefik):
    """In a container of the network, which keeps its name over a restart."""

    def __init__(self, binary, directory, store, network, services, api_address):
        super().__init__(binary, directory, None, services)
        self.url = f"http://{network.address}:{self.port}"
        self.api_url = f"http://{api_address}:{self.api_url.rpartition(':')[2]}"
        self.name = unique_name("traefik")
        self._store = store
        root = directory / "root"
        (root / "usr/bin").mkdir(parents=True)
        (root / "tmp").mkdir()
        self._words = ["run", "--detach", "--name", self.name, *store.flags, f"--network=ns:/run/netns/{network.name}",
                       "-v", f"{directory}:{directory}", "-v", f"{binary}:/usr/bin/traefik:ro",
                       "--entrypoint", "/usr/bin/traefik", "--rootfs", root, f"--configFile={self.directory}/traefik.yml"]

    def start(self):
        self._process.start = lambda: self._store.run(*self._words)
        self._process.ready_when = wait_for
        super().start()

    def restart(self):
        self._store.run("restart", "--time=20", self.name)

    def serves(self):
        try:
            return status_of(f"{self.url}/-/loaded") == 200
        except OSError:
            return False

    def stop(self):
        self._store.run("rm", "--force", "--time=0", "--ignore", self.name, check=False)

    @property
    def label(self):
        return "libpod-" + self._store.run("inspect", "--format={{.Id}}", self.name).strip()[:12]


@pytest.fixture
def store(stack):
    return stack.enter_context(Store())


@pytest.fixture
def two(stack, tmp_path, store, traefik_binary):
    ports = [free_port(), free_port()]
    names = [unique_name("shop"), unique_name("cart")]
    pairs = []
    for number in (1, 2):
        directory = tmp_path / str(number)
        directory.mkdir()
        network = stack.enter_context(Network(number))
        servers = Servers(directory, network, ports)
        stack.enter_context(servers)
        services = {name: [servers.url(server)] for name, server in zip(names, servers.servers)}
        api = network.address if number == 1 else "127.0.0.1"
        pairs.append((stack.enter_context(Contained(traefik_binary, directory, store, network, services, api)), servers))
    return pairs


def counted(samples, name, **labels):
    """(server or backend, code, method) -> count, of one Traefik."""
    owner = "server" if "server" in name else "backend"
    counted = Counter()
    for sample in select(samples, name, **labels):
        if sample.value:
            counted[sample.labels[owner], int(sample.labels["code"]), sample.labels["method"]] += int(sample.value)
    return counted


def expect(agent, traefik, servers):
    """The series of this Traefik, by server and by backend, are its servers' log."""
    rows = servers.rows()
    logged = counts.of_nginx(rows)
    by_backend = counts.by_service(logged, traefik.listed_services())
    agent.wait_for_counts(logged, lambda: counted(agent.samples(), "upstat_server_responses_total", traefik=traefik.label))
    agent.wait_for_counts(by_backend, lambda: counted(agent.samples(), "traefik_backend_requests_total", traefik=traefik.label))
    return rows


def counted_of(agent, traefik, backend):
    return total(agent.samples(), "traefik_backend_requests_total", traefik=traefik.label, backend=backend)


def responses(series):
    return sum(sum(counts) for name, counts in series.items() if name.endswith("xx"))


def test_equal_addresses_and_names(stack, tmp_path, store, two, upstat_binary):
    agent = Upstat(upstat_binary, tmp_path, {"--traefik.allow": store.cgroups})
    stack.enter_context(agent)
    (one, one_servers), (other, other_servers) = two
    assert one_servers.servers == other_servers.servers and one.services == other.services
    wait_for(lambda: all(len(select(agent.samples(), "upstat_backend_server_info", traefik=each.label)) == 2 for each, _ in two),
             20, lambda: f"both catalogues: {agent.log}")

    # What comes to one is not the other's.
    Clients(one.url, mix(list(one.services), PLAN), clients=4).run()
    Wrk(tmp_path, other.url, bulk_mix(other.services), each=PLAN, connections=4).run()
    assert len(expect(agent, one, one_servers)) == PLAN and len(expect(agent, other, other_servers)) == 4 * PLAN

    # One restarts under load: a new cgroup of the same name. Its series go on, and the other's do not notice.
    before = one.label
    load = [Clients(each.url, mix(list(each.services), 100 * PLAN, seed=3), clients=3, rate=300).start() for each, _ in two]
    wait_for(lambda: all(len(clients.done) > PLAN for clients in load), 30, "some load")
    one.restart()
    wait_for(one.serves, 30, "it serves again")
    after = len(load[0].done)
    wait_for(lambda: len(load[0].done) > after + PLAN, 30, "some more load")
    for clients in load:
        clients.stop()
    assert one.label == before
    agent.settle()
    for traefik, servers in two:
        expect(agent, traefik, servers)
    assert all(done.status for done in load[1].done)

    # The alert, the page and the commands tell them apart, too.
    name = f"{next(iter(one.services))}@file"
    backends = {f"{name} of {each.label}" for each, _ in two}
    assert backends <= {*get_json(f"{agent.url}/api/v1/backends")["backends"]}
    for backend in backends:
        assert agent.ask("explain", backend).startswith(f"{backend}: ")
    past = [responses(get_json(f"{agent.url}/api/v1/history?backend={name}&traefik={each.label}")["series"]) for each, _ in two]
    assert past == [counted_of(agent, each, name) for each, _ in two]
    assert all(one.label in line or other.label in line for line in agent.ask("top").splitlines() if name in line)
    states = select(agent.samples(), "upstat_alert_state", backend=name)
    assert {sample.labels["traefik"] for sample in states} == {one.label, other.label}

    # The agent is killed and starts again: names, numbers and counts are as they were.
    seen = total(agent.samples(), "traefik_backend_requests_total", traefik=other.label)
    agent.kill()
    Clients(other.url, mix(list(other.services), PLAN, seed=4), clients=2).run()
    agent.start()
    for traefik, servers in two:
        expect(agent, traefik, servers)
    assert total(agent.samples(), "traefik_backend_requests_total", traefik=other.label) == seen + PLAN

    # A container that is made anew has another name and goes on with the series.
    before = one.label
    one.stop()
    one.start()
    Clients(one.url, mix(list(one.services), PLAN, seed=5), clients=2).run()
    assert one.label != before
    for traefik, servers in two:
        expect(agent, traefik, servers)
    assert not select(agent.samples(), "traefik_backend_requests_total", traefik=before)
