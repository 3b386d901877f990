# SPDX-License-Identifier: Apache-2.0
"""kill -9 and start again, ten times under load: the kernel counts on, and the agent continues its totals."""

import random

from parts import counts
from parts.base import wait_for
from parts.exposition import total
from parts.load import Clients, Wrk, bulk_mix, mix

RESTARTS = 10
PLAN = 40_000  # more than any machine sends while the ten rounds last; the clients are stopped then


def test_ten_kills_under_load(rig, agent, tmp_path):
    upstat = agent(rig)
    dice = random.Random(3)
    clients = Clients(rig.traefik.url, mix(rig.services, PLAN), clients=4, rate=400)
    bulk = [Wrk(tmp_path, rig.traefik.url, bulk_mix(rig.services), each=250, connections=4) for _ in range(RESTARTS)]
    last = {}
    went_back = []

    def look():
        """The page's counters; none may ever be less than on a page before, or Prometheus counts it twice."""
        for sample in upstat.samples():
            if sample.name in ("traefik_backend_requests_total", "upstat_server_responses_total", "upstat_server_requests_total"):
                key = (sample.name, *sorted(sample.labels.items()))
                if sample.value < last.get(key, 0):
                    went_back.append(f"{key}: {last[key]} -> {sample.value}")
                last[key] = sample.value

    with clients.start():
        for wrk in bulk:
            wait_for(lambda n=len(clients.done) + dice.randint(20, 120): len(clients.done) >= n, 30, "some more answers")
            look()
            wrk.start()
            upstat.kill()
            try:
                wrk.finish()  # a thousand requests with no agent
            finally:
                wrk.stop()
            upstat.start()
            look()
        clients.stop()

    sent = len(clients.done) + sum(wrk.count for wrk in bulk)
    rows = rig.nginx.wait_for_rows(sent)
    assert len(rows) == sent
    logged = counts.of_nginx(rows)
    upstat.wait_for_counts(logged)
    upstat.wait_for_counts(counts.by_service(logged, rig.traefik.listed_services()), upstat.backend_counts)
    look()
    assert went_back == []
    assert total(upstat.samples(), "upstat_server_unanswered_total") == 0


def test_killed_while_it_starts(rig, agent):
    """The road from nothing to attached is cut at moments spread over it; the next start puts all in order."""
    upstat = agent(rig)
    dice = random.Random(5)
    with Clients(rig.traefik.url, mix(rig.services, PLAN), clients=2, rate=400).start() as clients:
        for _ in range(RESTARTS):
            upstat.kill()
            upstat.launch()
            wait_for(lambda n=len(clients.done) + dice.randint(1, 30): len(clients.done) >= n, 30, "some more answers")
        upstat.kill()
        upstat.start()
        clients.stop()
    rows = rig.nginx.wait_for_rows(len(clients.done))
    upstat.wait_for_counts(counts.of_nginx(rows))
    upstat.wait_for_counts(counts.by_service(counts.of_nginx(rows), rig.traefik.listed_services()), upstat.backend_counts)


def test_the_state_is_lost(rig, agent):
    """The maps live on: the first page after that shows what the last one did. Shown at 0 and then at the totals, Prometheus
    would take all that was ever counted for the answers of a moment."""
    upstat = agent(rig)
    sent = 300
    Clients(rig.traefik.url, mix(rig.services, sent), clients=3).run()
    logged = counts.of_nginx(rig.nginx.wait_for_rows(sent))
    upstat.wait_for_counts(logged)
    upstat.kill()
    (upstat.directory / "state" / "state.json").unlink()
    upstat.start()
    assert upstat.backend_counts() == counts.by_service(logged, rig.traefik.listed_services())
