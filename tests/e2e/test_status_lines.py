# SPDX-License-Identifier: Apache-2.0
"""Which status lines a real Traefik takes from a server, plain and with fastProxy, and what upstat counts of each."""

import http.client
from collections import Counter

import pytest

from parts.base import status_of, wait_for
from parts.cgroup import Cgroup
from parts.exposition import select, total
from parts.talker import Talker
from parts.traefik import Traefik
from parts.upstat import broken_invariants

CUT = 0  # Traefik closes the client's connection without a response

# what a server says -> what Traefik's client gets, plain and with fastProxy. Counted is what Traefik plain passes on.
LINES = {
    b"HTTP/1.1 404 Not Found\r\n": (404, 404),
    b"HTTP/1.0 405 Not Allowed\r\n": (405, 405),
    b"HTTP/1.1 406\r\n": (406, 406),
    b"HTTP/1.1 407 \r\n": (407, 407),
    b"HTTP/1.1 408\n": (408, 408),
    b"HTTP/1.1 409 Conflict\n": (409, 409),
    b"HTTP/1.5 410 Gone\r\n": (410, 410),
    b"HTTP/2.0 411 Length Required\r\n": (411, 411),
    b"HTTP/1.1  412 Precondition Failed\r\n": (412, 412),
    b"HTTP/1.1 600 Odd\r\n": (600, 600),
    b"HTTP/1.1 999 Odd\r\n": (999, 999),
    b"\r\nHTTP/1.1 404 Not Found\r\n": (500, 404),
    b"HTTP/1.1 000 Zero\r\n": (CUT, 200),
    b"HTTP/1.1 099 Odd\r\n": (CUT, 500),
    b"HTTP/1.1 +20 Odd\r\n": (CUT, 500),
    b"HTTP/1.1 20 Odd\r\n": (500, 500),
    b"HTTP/1.1 1000 Odd\r\n": (500, 500),
    b"HTTP/1.1 2x0 Odd\r\n": (500, 500),
    b"HTTP/1.1 40\xb4 Odd\r\n": (500, 500),
    b"HTTP/1.1 404Odd\r\n": (500, 500),
    b"HTTP/1.1 404\rOdd\r\n": (500, 500),
    b"HTTP/1.1\t404 Odd\r\n": (500, 500),
    b" HTTP/1.1 404 Odd\r\n": (500, 500),
    b"HTTP/1 404 Odd\r\n": (500, 500),
    b"HTTP/10.1 404 Odd\r\n": (500, 500),
    b"http/1.1 404 Odd\r\n": (500, 500),
    b"ICY 404 Odd\r\n": (500, 500),
    b"404 Odd\r\n": (500, 500),
}
COUNTED = [plain for plain, _ in LINES.values() if plain not in (CUT, 500)]


def say_line(read, write):
    """GET /N: line number N and a body. Traefik closes: fastProxy asks on connections that the server has just closed."""
    while asked_for := read.readline():
        while read.readline() not in (b"\r\n", b""):
            pass
        write.write([*LINES][int(asked_for.split()[1][1:])] + b"Content-Length: 2\r\n\r\nok")


def asked(url):
    try:
        return status_of(url)
    except http.client.RemoteDisconnected:
        return CUT


@pytest.mark.parametrize("which, experimental", [(0, {}), (1, {"fastProxy": {}})], ids=["plain", "fastProxy"])
def test_status_lines(stack, tmp_path, traefik_binary, agent, which, experimental):
    server = stack.enter_context(Talker(say_line))
    cgroup = stack.enter_context(Cgroup())
    traefik = stack.enter_context(Traefik(traefik_binary, tmp_path, cgroup, {"odd": [f"http://{server.address}"]},
                                          experimental=experimental))
    upstat = agent(traefik)

    got = {line: asked(f"{traefik.url}/odd/{number}") for number, line in enumerate(LINES)}
    assert got == {line: statuses[which] for line, statuses in LINES.items()}

    def counted():
        page = upstat.samples()
        codes = Counter({int(s.labels["code"]): int(s.value) for s in select(page, "upstat_server_responses_total")
                         if s.value and s.labels["server"] == server.address})
        return (codes, total(page, "upstat_server_unanswered_total", reason="malformed"), broken_invariants(page, 0))

    wanted = (Counter(COUNTED), len(LINES) - len(COUNTED), [])
    wait_for(lambda: counted() == wanted, 10, lambda: f"{wanted}: {counted()}")
