# SPDX-License-Identifier: Apache-2.0
"""Requests as a client that means harm would write them, among ordinary ones; and clients that send them as they are."""

import http.client
import random
import socket
import threading
import time
from typing import NamedTuple

from .servers import CODES

ORDINARY = ("GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
METHODS = (  # any token of RFC 9110, of any length
    "PRI", "PRIX", "A#B", "A$B", "A%B", "A&B", "A'B", "A^B", "A`B", "A|B", "!#$%&'*+-.^_`|~", "Fetch", "HTTP", "PROXY", "TRACE",
    "BASELINE-CONTROL", "UPDATEREDIRECTREF", "ABCDEFGHIJKLMNOP", "SSH-2.0-OpenSSH_9.2p1", "Content-Length", "M" * 300)
TARGETS = ("?GET /b HTTP/1.1", "?PRI%20*%20HTTP/2.0", "?q=HTTP/1.1%20404%20Not%20Found", "?" + "q" * 3000, "?%0d%0a%0d%0aGET",
           "?^`{}[]\\|", "?\xff\xfe", "/GET/HTTP/1.1", "/" + "deep/" * 300, ";x=%01%ff", "?#", "/a:b@c!$&'()*+,=")
FIELDS = (
    "X: GET / HTTP/1.1", "X: HTTP/1.1 404 Not Found", "PRI: * HTTP/2.0", "X-Content-Length: 7", "Transfer-Encodin: chunked",
    "X: \xff\xfe\x80", "X:", "X: \t PROXY TCP4 192.0.2.1 192.0.2.2 1 2", "!#$%&'*+-.^_`|~: x", "Cookie: " + "c" * 3000,
    "TE: trailers", "Connection: keep-alive, X", "X-Forwarded-For: GET / HTTP/1.1", "User-Agent: ", "Range: bytes=0-0",
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    "Host2: x\r\n" * 90 + "X: y", "x12: y\r\n" * 1100 + "x13: y")
FRAGMENTS = (
    b"x", b"GET /b HTTP/1.1\r\nHost: b\r\n\r\n", b"HTTP/1.1 500 Oh\r\n\r\n", b"0\r\n\r\n", b"\r\n\r\n", b"\n",
    b"HTTP/1.1 100 Continue\r\n\r\n", b"5\r\nhello\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", b"\r\n\r\n\0\r\nQUIT\n", b"UPDATEREDIRECTREF /b HTTP/1.1\r\n\r\n", b"POST ",
    b"Content-Length: 7\r\n", bytes(range(256)))


class Hostile(NamedTuple):
    method: str
    pieces: tuple  # as they are written, one after the other
    waits: bool    # the last piece for a 100 Continue, or for the final response instead


def draw(services, count, seed):
    """`count` requests, the first ones with each method of METHODS for each service."""
    dice = random.Random(seed)
    first = [(service, method) for method in METHODS for service in services]
    dice.shuffle(first)
    return [_request(dice, *(first[i] if i < len(first) else (dice.choice(services), _method(dice)))) for i in range(count)]


def _method(dice):
    return dice.choice(METHODS if dice.random() < 0.2 else ORDINARY)


def _request(dice, service, method):
    target = f"/{service}/{dice.choice(('status', 'status', 'read'))}/{dice.choice(CODES)}"
    if dice.random() < 0.15:
        target += dice.choice(TARGETS)
    fields = ["Host: servers"]
    if dice.random() < 0.3:
        fields += dice.sample(FIELDS, dice.choice((1, 1, 2)))
    framing, body = _body(dice) if method in ("POST", "PUT", "PATCH") or dice.random() < 0.2 else ([], b"")
    waits = bool(body) and dice.random() < 0.2
    head = "\r\n".join([f"{method} {target} HTTP/1.1", *fields, *framing, *(["Expect: 100-continue"] if waits else []), "", ""])
    pieces = (head.encode("latin-1"), body) if waits else _cut(dice, head.encode("latin-1") + body, dice.choice((0, 0, 0, 1, 3)))
    return Hostile(method, pieces, waits)


def _body(dice):
    """(header lines, bytes): of a length, or in chunks with what looks like a request behind the last."""
    body = b"".join(dice.choice(FRAGMENTS) for _ in range(dice.choice((0, 1, 4, 12))))
    if dice.random() < 0.1:
        body *= dice.choice((10, 100))
    if dice.random() < 0.5:
        return [f"Content-Length: {len(body)}"], body
    chunks = [b"%x%s\r\n%s\r\n" % (len(part), dice.choice((b"", b";a=\"HTTP/1.1 404\"")), part)
              for part in _cut(dice, body, 3) if part]
    trailer = dice.choice((b"", b"X: GET / HTTP/1.1\r\n"))
    return ["Transfer-Encoding: chunked"], b"".join(chunks) + b"0\r\n" + trailer + b"\r\n"


def _cut(dice, data, times):
    places = [0, *sorted(dice.randrange(len(data) + 1) for _ in range(times)), len(data)]
    return tuple(data[start:end] for start, end in zip(places, places[1:]))


class HostileClients:
    """Threads with one keep-alive connection each. What a server or Traefik makes of a request is not theirs to judge."""

    def __init__(self, address, plan, clients=8):
        self.statuses = []
        self._address = address
        self._threads = [threading.Thread(target=self._work, args=(plan[i::clients],), daemon=True) for i in range(clients)]

    def run(self, bound=120):
        for thread in self._threads:
            thread.start()
        deadline = time.monotonic() + bound
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        assert not any(thread.is_alive() for thread in self._threads), f"{len(self.statuses)} requests done within {bound} s"
        return self.statuses

    def _work(self, plan):
        connection = None
        for request in plan:
            connection = connection or self._connect()
            status, stays = _exchange(connection, request)
            self.statuses.append(status)
            if not stays:
                connection.close()
                connection = None
        if connection:
            connection.close()

    def _connect(self):
        connection = socket.create_connection(self._address, timeout=30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def _exchange(connection, request):
    """(status, whether the connection may be used again); status 0 where it broke."""
    try:
        for piece in request.pieces[:-1]:
            connection.sendall(piece)
        stays = not request.waits or _may_go_on(connection)
        if stays:
            connection.sendall(request.pieces[-1])
    except OSError:  # an early response may stand there all the same
        stays = False
    try:
        response = http.client.HTTPResponse(connection, method=request.method)
        response.begin()
        if response.status != 101:
            response.read()
        return response.status, stays and response.status != 101 and not response.will_close
    except (OSError, http.client.HTTPException):
        return 0, False


def _may_go_on(connection):
    """Waits for the first bytes: is it 100 Continue?"""
    return connection.recv(12, socket.MSG_PEEK | socket.MSG_WAITALL) == b"HTTP/1.1 100"
