# SPDX-License-Identifier: Apache-2.0
"""Something that stands where Traefik's API should be, and misbehaves; and ports that do."""

import http.server
import socket
import threading
import urllib.request

from .base import Part

_HTML = b"<!doctype html><html><body><h1>It works!</h1></body></html>"


class Api(Part):
    """mode: real (asks `behind`), html, garbage, list, cut, huge, hang or an HTTP status; it may be changed while running."""

    def __init__(self, behind, mode):
        self.mode = mode
        self.asked = 0
        self.hung = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                try:
                    outer._answer(self, behind)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def start(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self.hung.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request, behind):
        mode = self.mode
        if mode == "hang":
            self.hung.wait(300)
        elif isinstance(mode, int):
            _send(request, b"no\n", status=mode)
        elif mode == "real":
            with urllib.request.urlopen(behind + request.path, timeout=10) as answer:
                _send(request, answer.read(), "application/json")
        elif mode == "html":
            _send(request, _HTML, "text/html")
        elif mode == "garbage":
            _send(request, bytes(range(256)) * 40, "application/json")
        elif mode == "list":
            _send(request, b'[1, "two", {"services": null}]', "application/json")
        elif mode == "cut":
            _send(request, b'{"services": {"four@file": {"loadBalancer": {"serv', "application/json")
        elif mode == "huge":
            request.send_response(200)
            request.send_header("Content-Type", "application/json")
            request.send_header("Content-Length", str(50 << 20))
            request.end_headers()
            request.wfile.write(b'{"services": {"x": "')
            for _ in range(800):
                request.wfile.write(b"y" * 65536)


class SilentPort(Part):
    """Takes connections and never says a word."""

    def __init__(self):
        self._socket = None
        self.url = ""

    def start(self):
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def stop(self):
        if self._socket:
            self._socket.close()


def _send(request, body, kind="text/plain", status=200):
    request.send_response(status)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
