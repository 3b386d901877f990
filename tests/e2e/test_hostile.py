# SPDX-License-Identifier: Apache-2.0
"""Eight kinds of real servers behind a real Traefik, asked by clients that mean harm: nothing is counted that no server said,
and nothing is missed. The oracles are the servers' own access logs, and a capture of the loopback.

UPSTAT_SEED says which requests are drawn.
"""

import os
from collections import Counter

import pytest

from parts.base import wait_for
from parts.capture import Capture
from parts.cgroup import Cgroup
from parts.exposition import total
from parts.hostile import METHODS, HostileClients, draw
from parts.servers import all_kinds
from parts.traefik import Traefik
from parts.upstat import broken_invariants

EACH = 2500
SEED = int(os.environ.get("UPSTAT_SEED", "15"))


@pytest.fixture
def servers(stack, tmp_path, traefik_binary):
    return [stack.enter_context(server) for server in all_kinds(tmp_path, traefik_binary)]


@pytest.fixture
def traefik(stack, tmp_path, traefik_binary, servers, request):
    cgroup = stack.enter_context(Cgroup())
    services = {server.kind: [f"http://{server.address}"] for server in servers}
    return stack.enter_context(Traefik(traefik_binary, tmp_path, cgroup, services, experimental=request.param))


@pytest.mark.parametrize("traefik", [{}, {"fastProxy": {}}], ids=["plain", "fastProxy"], indirect=True)
def test_hostile_clients_of_eight_kinds_of_servers(stack, tmp_path, servers, traefik, agent):
    upstat = agent(traefik)
    capture = stack.enter_context(Capture(tmp_path, [server.port for server in servers]))

    statuses = HostileClients(("127.0.0.1", traefik.port), draw([server.kind for server in servers], EACH, SEED)).run()

    captured = capture.finish(lambda seen: seen == by_code(upstat.server_counts()))
    upstat.wait_for_counts(captured, lambda: by_code(upstat.server_counts()))
    for server in servers:
        wait_for(lambda: not server.differs(upstat.server_counts()), 10,
                 lambda: f"{server.kind}: (log, upstat): {server.differs(upstat.server_counts())}")
    at_rest = upstat.samples()
    # fastProxy does not close a connection whose server stays silent when its client has gone.
    assert broken_invariants(at_rest, statuses.count(0)) == []
    assert total(at_rest, "upstat_server_unread_connections_total") == 0
    assert len(statuses) == EACH and captured.total() > 0.9 * EACH
    assert {method for server in servers for _, method in server.logged()} >= set(METHODS)


def by_code(responses):
    """(server, code) -> responses, of (server, code, method)."""
    sums = Counter()
    for (server, code, _), count in responses.items():
        sums[server, code] += count
    return sums
