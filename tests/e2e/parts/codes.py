# SPDX-License-Identifier: Apache-2.0
"""A server that gives any status code: /CODE is answered with it, whatever the method."""

import http.server
import threading

from .base import Part


class CodeServer(Part):
    def __init__(self, address="127.0.0.1"):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def respond(self):
                self.send_response(int(self.path[1:]), "as asked")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_BREW = respond

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self._server.daemon_threads = True
        self.address = f"{address}:{self._server.server_port}"
        self.url = f"http://{self.address}"

    def start(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
