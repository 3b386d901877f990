# SPDX-License-Identifier: Apache-2.0
"""Several services that list the same servers, as routes to one Service of Kubernetes make them: what is counted is exact, has a
name that is not wrong, and is judged once."""

from collections import Counter

import pytest

from parts import counts
from parts.exposition import select, total
from parts.load import Clients, Request
from parts.rig import Rig
from parts.upstat import broken_invariants

ALL = "admin@file|ingress@file|shop@file"
PLAN = [("shop", 200, 80), ("admin", 404, 20), ("ingress", 500, 10), ("alone", 403, 5)]


@pytest.fixture
def rig(stack, tmp_path, traefik_binary):
    """Three services of the same two servers, and one that has a server alone."""
    layout = {"shop": [0, 1], "admin": [0, 1], "ingress": [0, 1], "alone": [2]}
    return stack.enter_context(Rig(tmp_path, traefik_binary, ("127.0.0.1", "::1", "127.0.0.1"), layout))


def load(rig):
    plan = [Request(f"/{name}/status/{code}") for name, code, times in PLAN for _ in range(times)]
    Clients(rig.traefik.url, plan, clients=3).run()


def test_what_cannot_be_told_apart_has_all_names(rig, agent):
    upstat = agent(rig)
    load(rig)
    assert rig.traefik.counts() == Counter({(f"{name}@file", code, "GET"): times for name, code, times in PLAN})

    upstat.wait_for_counts(counts.of_nginx(rig.nginx.wait_for_rows(115)))
    upstat.wait_for_counts(Counter({(ALL, 200, "GET"): 80, (ALL, 404, "GET"): 20, (ALL, 500, "GET"): 10,
                                    ("alone@file", 403, "GET"): 5}), upstat.backend_counts)
    samples = upstat.samples()
    assert broken_invariants(samples, 0) == []
    judged = {s.labels["backend"] for s in select(samples, "upstat_backend_4xx_ratio")}
    assert judged == {ALL, "alone@file"}, "one problem is judged once"
    assert total(samples, "upstat_backend_4xx_ratio", backend=ALL) == pytest.approx(20 / 110)


def test_a_restart_keeps_what_was_counted(rig, agent):
    upstat = agent(rig)
    load(rig)
    wanted = Counter({(ALL, 200, "GET"): 80, (ALL, 404, "GET"): 20, (ALL, 500, "GET"): 10, ("alone@file", 403, "GET"): 5})
    upstat.wait_for_counts(wanted, upstat.backend_counts)
    upstat.kill()
    load(rig)
    upstat.start()
    upstat.wait_for_counts(Counter({key: 2 * times for key, times in wanted.items()}), upstat.backend_counts)
