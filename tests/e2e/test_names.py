# SPDX-License-Identifier: Apache-2.0
"""Servers by host name, in a container: they are what its own /etc/hosts and its own name server say."""

import pytest

from parts import counts
from parts.base import get_json, wait_for
from parts.cgroup import Cgroup
from parts.container import ContainedNginx, ContainedTraefik, Container
from parts.exposition import select, total
from parts.upstat import Upstat

APP, CMS, HOST = "127.0.1.1", "127.0.1.2", "127.0.1.3"


class Site:
    """services: name -> host name. All of nginx's servers listen on one port."""

    def __init__(self, stack, directory, traefik_binary, container, services):
        self.container = stack.enter_context(container)
        self.nginx = ContainedNginx(container, directory, (APP, CMS, HOST))
        port = self.nginx.servers[0].rpartition(":")[2]
        self.nginx.servers = [f"{address}:{port}" for address in (APP, CMS, HOST)]
        stack.enter_context(self.nginx)
        self.cgroup = stack.enter_context(Cgroup())
        self.traefik = stack.enter_context(ContainedTraefik(
            container, traefik_binary, directory, self.cgroup,
            {name: [f"http://{host}:{port}"] for name, host in services.items()}))
        self.port = port

    def of_nginx(self, count):
        return counts.of_nginx(self.nginx.wait_for_rows(count))

    def by_backend(self, count, services):
        """services: name -> the address that it has."""
        return counts.by_service(self.of_nginx(count), {f"{name}@file": {f"{at}:{self.port}"} for name, at in services.items()})


@pytest.fixture
def site(stack, tmp_path, traefik_binary):
    container = Container(tmp_path, hosts={"app": APP, "host.docker.internal": HOST}, names={"cms": CMS, "App": HOST})
    return Site(stack, tmp_path, traefik_binary, container, {"shop": "app", "blog": "CMS", "host": "host.docker.internal"})


@pytest.fixture
def agent(stack, tmp_path, upstat_binary, site):
    """Told nothing but which Traefik: its API is in the container too."""
    def start(flags=None):
        return stack.enter_context(Upstat(upstat_binary, tmp_path, {"--traefik.pid": site.traefik.pid, **(flags or {})}))
    return start


def listed(upstat):
    return {sample.labels["backend"]: sample.labels["server"].rpartition(":")[0]
            for sample in select(upstat.samples(), "upstat_backend_server_info")}


NAMED = {"shop@file": APP, "blog@file": CMS, "host@file": HOST}


def test_are_the_containers_own(agent, site):
    upstat = agent()
    wait_for(lambda: listed(upstat) == NAMED, 20, lambda: upstat.log)
    for service, count in (("shop", 20), ("blog", 7), ("host", 11)):
        site.traefik.ask(service, "/status/404", count)
    upstat.wait_for_counts(site.by_backend(38, {"shop": APP, "blog": CMS, "host": HOST}), upstat.backend_counts)
    assert total(upstat.samples(), "upstat_unresolved_names") == 0


def test_of_a_static_map_are_the_containers_too(agent, site, tmp_path):
    (tmp_path / "backends.yml").write_text(f"backends: {{shop@file: ['app:{site.port}'], blog@file: ['http://cms:{site.port}']}}\n")
    upstat = agent({"--backends.file": tmp_path / "backends.yml"})
    wait_for(lambda: listed(upstat) == {"shop@file": APP, "blog@file": CMS}, 20, lambda: upstat.log)
    site.traefik.ask("shop", "/status/404", 9)
    upstat.wait_for_counts(site.by_backend(9, {"shop": APP}), upstat.backend_counts)


def test_that_swap_their_addresses_swap_their_backends(agent, site):
    """As two containers do that are made anew: connections to the old ones have ended."""
    upstat = agent()
    wait_for(lambda: listed(upstat) == NAMED, 20, lambda: upstat.log)
    site.traefik.ask("shop", "/status/200", 10)
    site.traefik.ask("blog", "/status/404", 10)
    before = site.by_backend(20, {"shop": APP, "blog": CMS})
    upstat.wait_for_counts(before, upstat.backend_counts)

    site.container.set_hosts({"app": CMS, "host.docker.internal": HOST})
    site.container.set_names({"cms": APP, "App": HOST})
    swapped = {**NAMED, "shop@file": CMS, "blog@file": APP}
    wait_for(lambda: listed(upstat) == swapped, 60, lambda: f"{listed(upstat)}\n{upstat.log}")
    site.nginx.stop()
    site.nginx.start()
    site.traefik.ask("shop", "/status/200", 30)
    site.traefik.ask("blog", "/status/404", 40)
    rows = site.nginx.wait_for_rows(90)[20:]
    after = counts.by_service(counts.of_nginx(rows), {"shop@file": {f"{CMS}:{site.port}"}, "blog@file": {f"{APP}:{site.port}"}})
    assert sum(after.values()) == 70
    upstat.wait_for_counts(before + after, upstat.backend_counts)


def test_that_nobody_knows_are_said(agent, site):
    site.traefik.write_services({**site.traefik.services, "gone": [f"http://gone:{site.port}"]})
    upstat = agent()
    wait_for(lambda: "gone" in upstat.log, 30, lambda: upstat.log)
    wait_for(lambda: get_json(f"{upstat.url}/api/v1/status")["unresolved_names"], 10, "said in status")
    assert "gone cannot be looked up: 127.0.0.11 knows no such name" in upstat.ask("status")
    assert total(upstat.samples(), "upstat_unresolved_names") == 1
    assert "the server name gone cannot be looked up" in upstat.log
    assert listed(upstat) == NAMED, "it holds no other"
