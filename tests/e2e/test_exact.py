# SPDX-License-Identifier: Apache-2.0
"""Every answer is counted: against nginx's logs per server, and against Traefik's own metrics per service."""

import threading
from collections import Counter

import pytest

from parts import counts
from parts.base import free_port, wait_for
from parts.exposition import select, total
from parts.load import Clients, Request, Wrk, bulk_mix, mix
from parts.rig import Rig
from parts.upstat import broken_invariants

PLAN = 6000
BULK = 48_000
CONNECTIONS = 12
STRADDLE = 200  # requests and answers that may fall between two reads of one poll: at 10,000 a second, 20 ms' worth


class PageWatch:
    """Fetches the agent's page all through a load, and keeps what is wrong with any of them."""

    def __init__(self, agent, most_outstanding):
        self.pages = 0
        self.broken = []
        self._agent = agent
        self._most_outstanding = most_outstanding
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join(30)

    def _watch(self):
        while not self._end.wait(0.1):
            self.broken += broken_invariants(self._agent.samples(), self._most_outstanding)
            self.pages += 1


def test_fifty_thousand_requests(rig, agent, tmp_path):
    upstat = agent(rig)
    clients = Clients(rig.traefik.url, mix(rig.services, PLAN), clients=4)
    bulk = Wrk(tmp_path, rig.traefik.url, bulk_mix(rig.services), each=BULK // 8, connections=8)

    with PageWatch(upstat, CONNECTIONS + STRADDLE) as watch, clients.start():
        bulk.run()
        clients.finish()

    rows = rig.nginx.wait_for_rows(PLAN + BULK)
    logged = counts.of_nginx(rows)
    assert len(rows) == PLAN + BULK >= 50_000
    assert {code for _, code, _ in logged} >= {200, 204, 206, 301, 304, 400, 403, 404, 429, 500, 503}
    upstat.wait_for_counts(logged)

    by_service = counts.by_service(logged, rig.traefik.listed_services())
    upstat.wait_for_counts(by_service, upstat.backend_counts)
    wait_for(lambda: not counts.difference(rig.traefik.counts(), by_service), 10,
             lambda: f"(Traefik, nginx): {counts.difference(rig.traefik.counts(), by_service)}")

    assert watch.pages > 5 and watch.broken == []
    at_rest = upstat.samples()
    assert broken_invariants(at_rest, 0) == []
    assert total(at_rest, "upstat_server_requests_total") == PLAN + BULK
    assert total(at_rest, "upstat_server_unanswered_total") == 0
    assert {s.labels["server"] for s in select(at_rest, "upstat_server_responses_total") if s.value} == set(rig.nginx.servers)


@pytest.fixture
def rig_with_a_dead_server(stack, tmp_path, traefik_binary):
    """A third service whose only server is a port where nobody listens."""
    rig = Rig(tmp_path, traefik_binary, ("127.0.0.1", "::1"), {"four": [0], "six": [1]})
    rig.traefik.services["dead"] = [f"http://127.0.0.1:{free_port()}"]
    return stack.enter_context(rig)


def test_what_traefik_makes_up_itself(rig_with_a_dead_server, agent):
    """Traefik's own 502, 504, 500 and 499 are no server's responses. Each is accounted for, by its cause."""
    rig = rig_with_a_dead_server
    upstat = agent(rig)
    dead, = rig.traefik.servers_of("dead")
    ordinary, hung, refused, closed = 40, 7, 9, 5

    Clients(rig.traefik.url, [Request("/four/status/200"), Request("/six/status/404")] * (ordinary // 2), clients=2).run()

    # The client goes away while the server still thinks: Traefik's 499, nginx's 499, the socket's "aborted".
    with Clients(rig.traefik.url, [Request("/four/hang")] * hung, clients=hung, timeout=3).start() as waiting:
        four, six = rig.nginx.servers
        wait_for(lambda: total(upstat.samples(), "upstat_server_outstanding_requests", server=four) == hung, 10,
                 f"{hung} requests outstanding")
        waiting.finish()

    # Nobody listens: Traefik's 502, a connect failure, and no request at all.
    refusals = Clients(rig.traefik.url, [Request("/dead/")] * refused, clients=1).run()
    assert {done.status for done in refusals} == {502}

    # The server closes without an answer (nginx's 444): a 502 of Traefik's for each request that it gives up; those that
    # it asks again are more requests, which nginx logs as well. A POST is not asked again.
    closings = Clients(rig.traefik.url, [Request("/six/close", "POST", 10)] * closed, clients=1).run()
    assert {done.status for done in closings} == {502}

    rows = rig.nginx.wait_for_rows(ordinary + hung + closed)
    logged = counts.of_nginx(rows)
    assert Counter(row.code for row in rows) == {200: ordinary // 2, 404: ordinary // 2, 499: hung, 444: closed}
    answers = Counter({key: count for key, count in logged.items() if key[1] not in (444, 499)})
    upstat.wait_for_counts(answers)

    def unanswered(samples, server, *reasons):
        return sum(total(samples, "upstat_server_unanswered_total", server=server, reason=reason) for reason in reasons)

    def accounted():
        page = upstat.samples()
        return (unanswered(page, four, "aborted") == hung and unanswered(page, six, "closed", "reset") == closed
                and total(page, "upstat_server_unanswered_total") == hung + closed
                and total(page, "upstat_server_connect_failures_total", server=dead, reason="refused") >= refused
                and total(page, "upstat_server_requests_total", server=dead) == 0
                and broken_invariants(page, 0) == [])

    wait_for(accounted, 10, lambda: f"every cause accounted for: {[s for s in upstat.samples() if s.value and 'server' in s.labels]}")

    made_up = {("four@file", 499, "GET"): hung, ("dead@file", 502, "GET"): refused, ("six@file", 502, "POST"): closed}
    by_service = counts.by_service(answers, rig.traefik.listed_services())
    upstat.wait_for_counts(by_service, upstat.backend_counts)
    wanted = by_service + Counter(made_up)
    wait_for(lambda: not counts.difference(rig.traefik.counts(), wanted), 10,
             lambda: f"(Traefik, upstat and Traefik's own): {counts.difference(rig.traefik.counts(), wanted)}")
