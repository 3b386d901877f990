# SPDX-License-Identifier: Apache-2.0
"""A server of a test's own words."""

import socketserver
import threading

from .base import Part


class Talker(Part):
    """Listens on 127.0.0.1 and hands each connection to talk(read_file, write_file), in a thread of its own."""

    def __init__(self, talk):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                talk(self.rfile, self.wfile)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def start(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
