# SPDX-License-Identifier: Apache-2.0
"""The agent is started in the middle of a load, on connections that exist already."""

import time

from parts import counts
from parts.base import wait_for
from parts.load import Clients, Wrk, bulk_mix, mix

PLAN = 9000
CLIENTS = 6


def everything_logged(rig, clients, more=0):
    """nginx's log once it has a line for each answer that the clients have; nothing is under way then."""
    wanted = len(clients.done) + more
    rows = rig.nginx.wait_for_rows(wanted)
    assert len(rows) == wanted
    return rows


def assert_old_connections_serve_on(before, after):
    old = {row.connection for row in before}
    assert sum(row.connection in old for row in after) > len(after) / 10, "the connections from before are hardly used"


def test_attached_while_every_connection_is_open_and_idle(rig, agent):
    with Clients(rig.traefik.url, mix(rig.services, PLAN), clients=CLIENTS).start() as clients:
        wait_for(lambda: len(clients.done) > PLAN // 4, 60, "a quarter of the load")
        clients.pause()
        before = everything_logged(rig, clients)

        upstat = agent(rig)

        clients.resume()
        clients.finish()
    after = everything_logged(rig, clients)[len(before):]
    assert len(after) > PLAN // 2
    assert_old_connections_serve_on(before, after)
    upstat.wait_for_counts(counts.of_nginx(after))
    upstat.wait_for_counts(counts.by_service(counts.of_nginx(after), rig.traefik.listed_services()), upstat.backend_counts)


def test_attached_in_the_middle_of_requests(rig, agent, tmp_path):
    """No pause: what ended before the agent was started is not counted, what began after it was ready is, and from the
    next moment of rest on every single answer, also on the connections that were busy when the programs came."""
    bulk = Wrk(tmp_path, rig.traefik.url, bulk_mix(rig.services), each=2500, connections=8)
    with Clients(rig.traefik.url, mix(rig.services, 40_000), clients=CLIENTS).start() as clients:

        def more(count):
            """Waits until the clients have had so many more answers."""
            enough = len(clients.done) + count
            wait_for(lambda: len(clients.done) >= enough, 60, f"{count} more answers")

        bulk.start()
        try:
            more(1000)
            launched = time.time()
            upstat = agent(rig)
            ready = time.time()
            more(1000)
            clients.pause()
            bulk.finish()
        finally:
            bulk.stop()
        rows = everything_logged(rig, clients, bulk.count)
        assert any(row.ended < launched for row in rows) and any(row.started > ready for row in rows)

        # nginx's clock stands still while it works through one round of events.
        least = counts.of_nginx(row for row in rows if row.started > ready + 0.1)
        most = counts.of_nginx(row for row in rows if row.ended > launched - 0.002)
        wait_for(lambda: not least - upstat.server_counts(), 10, lambda: f"not counted: {least - upstat.server_counts()}")
        upstat.settle()
        at_rest = upstat.server_counts()
        assert not at_rest - most, f"counted, but ended before the agent was started: {at_rest - most}"

        clients.resume()
        more(2000)
    after = everything_logged(rig, clients, bulk.count)[len(rows):]
    assert_old_connections_serve_on([row for row in rows if row.ended < launched], after)
    upstat.wait_for_counts(at_rest + counts.of_nginx(after))
