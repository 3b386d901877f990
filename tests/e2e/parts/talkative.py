# SPDX-License-Identifier: Apache-2.0
"""A TLS server that does what real ones seldom do when they are asked: 103 before 200, upgrades, responses of any code."""

import socketserver
import ssl
import threading
from collections import Counter

from .base import Part


class Talkative(Part):
    """/status/CODE, /early (103, then 200), /upgrade (101, then what comes goes back), /cut (no response)."""

    kind = "talkative"
    scheme = "https"

    def __init__(self, authority):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue(self.kind, "serverAuth"))
        self.logged = Counter()  # (code, method)
        self._lock = threading.Lock()
        part = self

        class Handler(socketserver.StreamRequestHandler):
            def setup(self):
                self.request = context.wrap_socket(self.request, server_side=True)
                super().setup()

            def handle(self):
                while part.answer(self.rfile, self.wfile):
                    pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request, client_address):
                pass  # a client that went away

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = "127.0.0.1:%d" % self._server.server_address[1]

    def start(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, rfile, wfile):
        """One request; whether the connection goes on."""
        words = rfile.readline().split()
        headers = {}
        for line in iter(rfile.readline, b"\r\n"):
            if not line:
                return False
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        if not words:
            return False
        method, path = words[0].decode(), words[1].decode()
        rfile.read(int(headers.get(b"content-length", 0)))
        if path == "/cut":
            return False
        if path == "/upgrade":
            self._log(101, method)
            wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            for byte in iter(lambda: rfile.read(1), b""):
                wfile.write(byte)
            return False
        if path == "/early":
            wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        code = int(path.rpartition("/")[2]) if path.startswith("/status/") else 200
        self._log(code, method)
        body = b"" if code in (204, 304) or method == "HEAD" else b"x"
        wfile.write(b"HTTP/1.1 %d Whatever\r\nContent-Length: %d\r\n\r\n" % (code, len(body)) + body)
        return True

    def _log(self, code, method):
        with self._lock:
            self.logged[code, method] += 1

    def differs(self, responses):
        """As servers.Server has it."""
        from .counts import difference, label_of
        lines, counted = Counter(), Counter()
        for (code, method), count in self.logged.items():
            lines[code, label_of(method)] += count
        for (server, code, method), count in responses.items():
            if server == self.address:
                counted[code, method] += count
        return difference(lines, counted)
