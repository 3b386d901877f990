# SPDX-License-Identifier: Apache-2.0
"""What bpf/README.md says, line by line: what is a response, what is none, and what becomes of a request without one."""

import socket

import pytest

from conftest import Server
from parts.base import wait_for
from parts.exposition import total
from peer import reset

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
DELETE = b"DELETE /a HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"


def exchange(server, request, *segments):
    connection = server.connect()
    connection.ask(request)
    connection.answer(*segments)
    return connection


def test_keep_alive(server):
    connection = server.connect()
    for _ in range(50):
        connection.ask()
        connection.answer(OK)
    connection.ask()
    connection.answer(NOT_FOUND)
    connection.close()
    server.expect({(200, "GET"): 50, (404, "GET"): 1})


def test_a_socket_that_connects_again(bench, server):
    """What it remembers of the first server is not the second one's."""
    other = Server(bench)
    connection = server.connect()
    connection.ask()
    connection.answer(OK)
    bench.client.call("connect_again", connection.number, other.address)
    connection.server.close()
    connection.server, _ = other.listener.accept()
    for answer in (OK, NOT_FOUND):
        connection.ask()
        connection.answer(answer)
    connection.close()
    server.expect({(200, "GET"): 1})
    other.expect({(200, "GET"): 1, (404, "GET"): 1})
    other.close()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_methods(server, method):
    exchange(server, f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode(), OK).close()
    server.expect({(200, method): 1})


def test_unknown_methods_are_extensions(server):
    for method in ("PROPFIND", "M-SEARCH", "get", "VERSION-CONTROL"):
        exchange(server, f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode(), OK).close()
    server.expect({(200, "EXTENSION_METHOD"): 4})


@pytest.mark.parametrize("host, address", [("::1", None), ("127.0.0.1", "::ffff:127.0.0.1")])
def test_ipv6_and_ipv4_mapped(bench, host, address):
    server = Server(bench, host)
    connection = server.connect((address, server.address[1]) if address else None)
    connection.ask()
    connection.answer(OK)
    connection.close()
    server.expect({(200, "GET"): 1})
    server.close()


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_status_line_in_two_pieces(server, cut):
    connection = exchange(server, GET, NOT_FOUND[:cut], NOT_FOUND[cut:])
    connection.ask()
    connection.answer(OK)
    connection.close()
    server.expect({(404, "GET"): 1, (200, "GET"): 1})


def test_an_answer_byte_by_byte(server):
    exchange(server, GET, *(bytes([byte]) for byte in OK)).close()
    server.expect({(200, "GET"): 1})


@pytest.mark.parametrize("segments", [
    (CONTINUE, OK), (CONTINUE + OK,), (CONTINUE[:20], CONTINUE[20:] + OK[:5], OK[5:]), (CONTINUE, EARLY_HINTS, EARLY_HINTS, OK),
    (CONTINUE + EARLY_HINTS + OK[:9], OK[9:]), tuple(bytes([byte]) for byte in EARLY_HINTS + OK),
    (b"HTTP/1.1 103 Early Hints\r\n" + b"Link: </a-rather-long-name.css>; rel=preload\r\n" * 40 + b"\r\n" + OK,)])
def test_interim_answers_are_not_final(server, segments):
    exchange(server, GET, *segments).close()
    server.expect({(200, "GET"): 1})


def test_expect_continue_with_a_body_like_a_request(server):
    body = DELETE * 3
    head = f"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    connection = server.connect()
    connection.ask(head)
    connection.answer(CONTINUE)
    connection.ask(body)
    connection.answer(OK)
    connection.ask()
    connection.answer(NOT_FOUND)
    connection.close()
    server.expect({(200, "POST"): 1, (404, "GET"): 1})


def test_a_101_is_final_and_begins_a_tunnel(server):
    connection = exchange(server, GET, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
    connection.ask(GET)
    connection.answer(OK, OK)
    connection.close()
    server.expect({(101, "GET"): 1}, unread={"upgraded": 1})


def test_an_accepted_connect_begins_a_tunnel(server):
    connection = exchange(server, b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n")
    connection.ask(GET)
    connection.answer(OK)
    connection.close()
    server.expect({(200, "CONNECT"): 1}, unread={"upgraded": 1})


def test_an_idle_408_is_no_answer(server):
    connection = exchange(server, GET, OK)
    connection.answer(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
    connection.close()
    server.expect({(200, "GET"): 1})


def test_a_body_like_a_status_line(server):
    exchange(server, GET, b"HTTP/1.1 200 OK\r\nContent-Length: 74\r\n\r\n", NOT_FOUND[:37], NOT_FOUND[:37]).close()
    server.expect({(200, "GET"): 1})


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_an_upload_like_requests(server, pieces):
    body = DELETE * 10
    head = f"POST /upload HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nContent-Length: {len(body)}\r\nX: y\r\n\r\n".encode()
    connection = server.connect()
    connection.ask(head)
    for piece in range(pieces):
        connection.ask(body[len(body) * piece // pieces:len(body) * (piece + 1) // pieces])
    connection.answer(OK)
    connection.ask()
    connection.answer(NOT_FOUND)
    connection.close()
    server.expect({(200, "POST"): 1, (404, "GET"): 1})


@pytest.mark.parametrize("length", [b"Content-Length: 310", b"content-length:310", b"CONTENT-LENGTH:   310"])
def test_an_early_413_is_no_end_of_the_body(server, length):
    """The body goes on after the answer, and looks like requests; the next request comes behind it."""
    body = DELETE * 10
    assert len(body) == 310
    connection = server.connect()
    connection.ask(b"POST /upload HTTP/1.1\r\nHost: x\r\n" + length + b"\r\nAccept: */*\r\n\r\n" + body[:31])
    connection.answer(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
    for begin in range(31, 310, 31):
        connection.ask(body[begin:begin + 31])
    connection.ask()
    connection.answer(OK)
    connection.close()
    server.expect({(413, "POST"): 1, (200, "GET"): 1})


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("end", [(b"0\r\n\r\n",), (b"0\r\n", b"\r\n"), (b"0", b"\r", b"\n", b"\r", b"\n"), (b"5\r\nhello\r\n0\r\n\r\n",),
                                 (b"0\r\nDigest: x\r\n\r\n",), (b"0\r\nDigest: x\r\n\r", b"\n")])
@pytest.mark.parametrize("early", [True, False])
def test_a_chunked_upload(server, end, early):
    """With an answer that comes before the body's end, or behind it; the body looks like requests."""
    connection = server.connect()
    connection.ask(CHUNKED)
    connection.ask(b"22\r\nabc")
    if early:
        connection.answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    connection.ask(DELETE[:-1])  # in the middle of a chunk
    connection.ask(DELETE[-1:] + b"\r\n")
    for segment in end:
        connection.ask(segment)
    if not early:
        connection.answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    for _ in range(2):
        connection.ask()
        connection.answer(OK)
    connection.close()
    server.expect({(403, "POST"): 1, (200, "GET"): 2})


def test_a_chunked_request_in_one_segment(server):
    connection = exchange(server, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", OK)
    connection.ask()
    connection.answer(NOT_FOUND)
    connection.close()
    server.expect({(200, "POST"): 1, (404, "GET"): 1})


def test_a_head_of_many_segments(server):
    connection = server.connect()
    connection.ask(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * 4000)
    connection.ask(b"b" * 3000 + b"\r\n\r\n")
    connection.answer(OK)
    connection.ask()
    connection.answer(NOT_FOUND)
    connection.close()
    server.expect({(200, "GET"): 1, (404, "GET"): 1})


@pytest.mark.parametrize("line", [b"HTTP/1.1 20 OK \r\n", b"HTTP/1.1 2000 OK\r\n", b"HTTP/1.1 099 No\r\n",
                                  b"HTTP/1.1\t200 OK\r\n", b"http/1.1 200 OK\r\n", b"SSH-2.0-OpenSSH_9\r\n"])
def test_malformed_lines_are_no_codes(server, line):
    exchange(server, GET, line + b"\r\n").close()
    server.expect(unanswered={"malformed": 1})


def test_http_1_0(server):
    exchange(server, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\nbody").close()
    server.expect({(200, "GET"): 1})


def test_the_server_closes(server):
    connection = server.connect()
    connection.ask()
    connection.server.close()
    assert connection.client.call("receive", connection.number, 1) == b""
    connection.client.call("close", connection.number)
    server.expect(unanswered={"closed": 1})


def test_the_server_closes_within_the_status_line(server):
    connection = exchange(server, GET, OK[:11])
    connection.server.close()
    connection.client.call("close", connection.number)
    server.expect(unanswered={"closed": 1})


def test_the_server_resets(server):
    connection = server.connect()
    connection.ask()
    reset(connection.server)
    with pytest.raises(ConnectionResetError):
        connection.client.call("receive", connection.number, 1)
    connection.client.call("close", connection.number)
    server.expect(unanswered={"reset": 1})


@pytest.mark.parametrize("how", ["close", "reset"])
def test_the_client_gives_up(server, how):
    connection = server.connect()
    connection.ask()
    connection.client.call(how, connection.number)
    connection.server.close()
    server.expect(unanswered={"aborted": 1})


def test_outstanding_while_the_server_thinks(server):
    connection = server.connect()
    connection.ask()
    server.expect(outstanding=1)
    connection.answer(OK)
    connection.close()
    server.expect({(200, "GET"): 1})


def test_a_next_request_without_an_answer_is_our_error_and_said(server):
    connection = server.connect()
    connection.ask()
    connection.ask()
    connection.answer(OK)
    connection.close()
    server.expect({(200, "GET"): 1}, unanswered={"missed": 1})


@pytest.mark.parametrize("opening, reason", [(b"\x16\x03\x01\x02\x00\x01\x00", "tls"), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2"),
                                             (b"*1\r\n$4\r\nPING\r\n", "other")])
def test_what_cannot_be_read_is_counted(server, opening, reason):
    connection = exchange(server, opening, OK)
    connection.ask()
    connection.answer(OK)
    connection.close()
    server.expect(unread={reason: 1})


def test_a_refused_connection(bench):
    server = Server(bench)
    server.close()
    with pytest.raises(ConnectionRefusedError):
        bench.client.call("connect", socket.AF_INET, server.address)
    server.expect(failures={"refused": 1})


def test_a_race_that_was_lost_is_no_failure(bench):
    """A listener with a full queue does not answer the SYN; the socket is closed at once."""
    server = Server(bench)
    full = socket.create_server(("127.0.0.1", bench.port()), backlog=0)
    fillers = [socket.create_connection(full.getsockname())]
    number = bench.client.call("connect", socket.AF_INET, full.getsockname(), False)
    bench.client.call("close", number)
    server.label = "127.0.0.1:%d" % full.getsockname()[1]
    server.expect()
    for one in [*fillers, full]:
        one.close()
    server.close()


def test_clients_of_traefik_are_no_servers(bench):
    """An accepted connection whose answers' bodies look like requests: no server gets a request for it."""
    def servers():
        return total(bench.page(), "upstat_map_entries", map="requests")

    before = servers()
    port = bench.port()
    listener = bench.client.call("listen", socket.AF_INET, ("127.0.0.1", port))
    with socket.create_connection(("127.0.0.1", port)) as visitor:
        accepted = bench.client.call("accept", listener)
        visitor.sendall(GET)
        for _ in range(3):
            bench.client.call("send", accepted, GET)
        wait_for(lambda: len(visitor.recv(10000)) > 0, 10, "the answer")
        visitor.sendall(OK)
        bench.client.call("receive", accepted, len(GET + OK))
    assert servers() == before


def test_a_server_s_connection_from_a_port_that_was_clients(bench, server):
    """A client's connection marks its local port; one that is opened from there later is a server's all the same, and stays
    one when the port is listened on again."""
    port = bench.port()

    def visit():
        listener = bench.client.call("listen", socket.AF_INET, ("127.0.0.1", port))
        visitor = socket.create_connection(("127.0.0.1", port))
        accepted = bench.client.call("accept", listener)
        reset(visitor)
        bench.client.call("close", accepted)
        bench.client.call("close", listener)

    visit()
    number = bench.client.call("connect_from", port, server.address)
    peer, _ = server.listener.accept()
    for _ in range(2):
        bench.client.call("send", number, GET)
        peer.sendall(OK)
        assert bench.client.call("receive", number, len(OK)) == OK
        peer.recv(10000)
        visit()
    server.expect({(200, "GET"): 2})
    bench.client.call("close", number)
    peer.close()
