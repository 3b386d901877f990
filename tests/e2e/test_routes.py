# SPDX-License-Identifier: Apache-2.0
"""Several routes to one Service's servers, as IngressRoutes and Ingresses of Kubernetes make them: each backend gets what came
by its own route, as Traefik itself counts it; what no rule tells has all names."""

from collections import Counter

import pytest

from parts import counts
from parts.base import wait_for
from parts.exposition import select, total
from parts.load import Clients, Request
from parts.rig import Rig
from parts.upstat import broken_invariants

NAMES = ["admin", "beta", "ingress", "shop"]
ALL = "|".join(f"{name}@file" for name in NAMES)
SHOP, OTHER, BETA = (("Host", "Shop.Example:8080"),), (("Host", "other.example"),), (("Host", "beta.example"),)
PLAN = [Request("/status/200?a=/status/404", headers=SHOP)] * 80 + [Request("/status/404", headers=SHOP)] * 20 + \
    [Request("/status/500", headers=OTHER)] * 10
UNTOLD = [Request("/status/403", headers=BETA)] * 7 + [Request("/status/403", "PUT", headers=BETA)] * 3
TOLD = Counter({("shop@file", 200, "GET"): 80, ("admin@file", 404, "GET"): 20, ("ingress@file", 500, "GET"): 10})


def routed(http, swapped=False):
    """Two IngressRoutes and an Ingress, and two routes that only the method tells apart."""
    shop, admin = ("admin", "shop") if swapped else ("shop", "admin")
    rules = {"one": (shop, "Host(`shop.example`)"), "two": (admin, "Host(`shop.example`) && PathPrefix(`/status/404`)"),
             "three": ("ingress", "Host(`other.example`) && Path(`/status/500`)"),
             "four": ("beta", "Host(`beta.example`) && Method(`PUT`)"), "five": ("shop", "Host(`beta.example`)")}
    for name in NAMES:
        del http["routers"][name]
    for name, (service, rule) in rules.items():
        http["routers"][name] = {"rule": rule, "service": service, "entryPoints": ["web"]}


@pytest.fixture(params=[None, {"fastProxy": {}}], ids=["proxy", "fastProxy"])
def rig(stack, tmp_path, traefik_binary, request):
    layout = {name: [0, 1] for name in NAMES}
    return stack.enter_context(Rig(tmp_path, traefik_binary, ("127.0.0.1", "::1"), layout, more=routed,
                                   experimental=request.param))


def wait_until_told(rig, upstat):
    sent = 0

    def told():
        nonlocal sent
        sent += 1
        Clients(rig.traefik.url, [Request("/status/204", headers=SHOP)], clients=1).run()
        wait_for(lambda: sum(count for (_, code, _), count in upstat.backend_counts().items() if code == 204) == sent, 10,
                 "what was sent is counted")
        return upstat.backend_counts()[("shop@file", 204, "GET")]

    wait_for(told, 20, "the programs know the routes")
    return Counter({key: count for key, count in upstat.backend_counts().items() if key[1] == 204})


def wait_until_shown(rig, service):
    """How much was sent until Traefik's API shows whom the first router sends to."""
    sent = 0

    def shown():
        nonlocal sent
        if rig.traefik.rawdata()["routers"]["one@file"]["service"].startswith(service):
            return True
        Clients(rig.traefik.url, PLAN, clients=3).run()
        sent += len(PLAN)
        return False

    wait_for(shown, 20, "the API shows the swap", interval=0)
    return sent


def test_each_backend_gets_what_came_by_its_route(rig, agent):
    upstat = agent(rig)
    before = wait_until_told(rig, upstat)
    Clients(rig.traefik.url, PLAN, clients=3).run()
    upstat.wait_for_counts(TOLD + before, upstat.backend_counts)
    by_traefik = Counter({key: count for key, count in rig.traefik.counts().items() if key[1] != 204})
    assert by_traefik == TOLD

    Clients(rig.traefik.url, UNTOLD, clients=2).run()
    untold = Counter({(ALL, 403, "GET"): 7, (ALL, 403, "PUT"): 3})
    upstat.wait_for_counts(TOLD + before + untold, upstat.backend_counts)
    upstat.wait_for_counts(counts.of_nginx(rig.nginx.wait_for_rows(120 + sum(before.values()))))

    samples = upstat.samples()
    assert broken_invariants(samples, 0) == []
    assert total(samples, "upstat_backend_4xx_ratio", backend="admin@file") == pytest.approx(1)
    assert total(samples, "upstat_backend_4xx_ratio", backend="ingress@file") == 0
    judged = {s.labels["backend"] for s in select(samples, "upstat_backend_4xx_ratio")}
    assert judged == {"admin@file", "ingress@file", "shop@file", ALL}

    upstat.kill()  # the kernel goes on counting by routes
    Clients(rig.traefik.url, PLAN, clients=3).run()
    upstat.start()
    upstat.wait_for_counts(TOLD + TOLD + before + untold, upstat.backend_counts)


def test_routes_that_move_lose_and_double_nothing(rig, agent):
    upstat = agent(rig)
    sent = sum(wait_until_told(rig, upstat).values())
    for swapped in (True, False):
        rig.traefik.more = lambda http: routed(http, swapped)  # noqa: B023
        rig.traefik.write_services(rig.traefik.services)
        sent += wait_until_shown(rig, "admin" if swapped else "shop")
    codes = Counter()
    logged = counts.of_nginx(rig.nginx.wait_for_rows(sent))
    for (_, code, method), count in logged.items():
        codes[code, method] += count
    upstat.wait_for_counts(logged)

    def by_code():
        seen = Counter()
        for (_, code, method), count in upstat.backend_counts().items():
            seen[code, method] += count
        return seen

    wait_for(lambda: by_code() == codes, 10, lambda: f"(backends, nginx): {by_code()}, {codes}")
    assert upstat.backend_counts()[("ingress@file", 500, "GET")] == codes[500, "GET"], "this route did not move"
