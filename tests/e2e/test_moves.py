# SPDX-License-Identifier: Apache-2.0
"""Servers that change their backends under load, seconds before a poll: each backend keeps what was its own."""

import http.client
import threading
import time
from urllib.parse import urlsplit

from parts import counts
from parts.base import wait_for
from parts.exposition import select, total
from parts.rig import Rig

POLL = 5


class Steady:
    """One client for each path, on a connection of its own, until it is left."""

    def __init__(self, url, paths):
        self.url = urlsplit(url)
        self.sent = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(path,)) for path in paths]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self, path):
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=20)
        while not self._stop.wait(0.004):
            connection.request("GET", path)
            connection.getresponse().read()
            self.sent += 1
        connection.close()


def listed(upstat):
    return {(sample.labels["backend"], sample.labels["server"]) for sample in select(upstat.samples(), "upstat_backend_server_info")}


def test_a_server_that_moves_is_counted_for_the_backend_that_it_was_in(stack, tmp_path, traefik_binary, agent):
    """shop gives 404 only and blog 200 only, whichever server does it. Traefik's own counts are the oracle."""
    rig = stack.enter_context(Rig(tmp_path, traefik_binary, ("127.0.0.1", "127.0.0.1"), {"shop": [0], "blog": [1]}))
    upstat = agent(rig, {"--poll.interval": f"{POLL}s"})
    wait_for(lambda: len(listed(upstat)) == 2, 20, "both backends are known")
    moves = 4
    began = time.monotonic()
    with Steady(rig.traefik.url, ["/shop/status/404", "/blog/status/200"]) as load:
        for move in range(moves):
            polls = total(upstat.samples(), "upstat_polls_total")
            wait_for(lambda: total(upstat.samples(), "upstat_polls_total") > polls, 60, "a poll")
            time.sleep(0.7 + move)  # each move is somewhere else between two polls
            services = rig.traefik.services
            rig.traefik.write_services({"shop": services["blog"], "blog": services["shop"]})
        polls = total(upstat.samples(), "upstat_polls_total")
        wait_for(lambda: total(upstat.samples(), "upstat_polls_total") > polls + 1, 60, "two more polls")
    lasted = time.monotonic() - began
    truth = rig.traefik.counts()
    upstat.wait_for_counts(counts.by_service(counts.of_nginx(rig.nginx.wait_for_rows(load.sent)),
                                             {"all": set(rig.nginx.servers)}),
                           lambda: counts.by_service(upstat.server_counts(), {"all": set(rig.nginx.servers)}))
    mine = upstat.backend_counts()
    astray = sum(count for (backend, code, _), count in mine.items() if (backend, code) in (("blog@file", 404), ("shop@file", 200)))
    assert sum(mine.values()) == load.sent, "none is lost or counted twice"
    assert {key[:2] for key in truth} >= {("shop@file", 404), ("blog@file", 200)}
    in_those_polls = load.sent * moves * POLL / lasted
    print(f"{astray} of {load.sent} responses went astray in {moves} moves, {100 * astray / in_those_polls:.2f} % of those polls'")
    assert astray <= in_those_polls / 100
