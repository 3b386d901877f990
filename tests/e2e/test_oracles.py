# SPDX-License-Identifier: Apache-2.0
"""The oracles before anything is held against them: nginx's log, Traefik's metrics and the clients agree."""

from collections import Counter

from parts import counts
from parts.base import wait_for
from parts.load import Clients, Wrk, bulk_mix, mix


def test_nginx_and_traefik_count_the_same(rig, tmp_path):
    plan = mix(rig.services, 1500)
    bulk = Wrk(tmp_path, rig.traefik.url, bulk_mix(rig.services), each=500)

    done = Clients(rig.traefik.url, plan, clients=4).run()
    bulk.run()

    rows = rig.nginx.wait_for_rows(len(plan) + bulk.count)
    logged = counts.of_nginx(rows)
    assert len(rows) == len(plan) + bulk.count
    assert Counter(d.status for d in done)[0] == 0, "a client lost its connection"
    assert {code for _, code, _ in logged} >= {200, 204, 206, 301, 304, 400, 403, 404, 429, 500, 503}
    assert {method for _, _, method in logged} >= {"GET", "HEAD", "POST", "EXTENSION_METHOD"}
    assert {server for server, _, _ in logged} == set(rig.nginx.servers)
    wanted = counts.by_service(logged, rig.traefik.listed_services())
    wait_for(lambda: not counts.difference(rig.traefik.counts(), wanted), 10,
             lambda: f"(Traefik, nginx): {counts.difference(rig.traefik.counts(), wanted)}")


def test_paused_clients_keep_their_connections(rig):
    with Clients(rig.traefik.url, mix(["four"], 600), clients=3).start() as clients:
        wait_for(lambda: len(clients.done) > 100, 30, "100 answers")
        clients.pause()
        before = rig.nginx.wait_for_rows(len(clients.done))
        assert len(before) == len(clients.done)
        clients.resume()
        clients.finish()
    after = rig.nginx.wait_for_rows(600)[len(before):]
    assert {row.connection for row in before} & {row.connection for row in after}, "no connection lived through the pause"
