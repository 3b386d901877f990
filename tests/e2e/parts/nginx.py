# SPDX-License-Identifier: Apache-2.0
"""nginx as the servers behind Traefik. Its access log is the oracle."""

import signal
import socket
from pathlib import Path
from typing import NamedTuple

from .base import Part, Process, free_port, wait_for

CODES = (200, 204, 206, 301, 304, 400, 401, 403, 404, 429, 500, 503)
SIZES = (0, 1, 100, 1000, 10_000, 100_000, 1_000_000)


class Row(NamedTuple):
    """One line of the access log: one request that nginx read, and what it answered."""

    server: str       # as upstat's label has it
    code: int
    method: str
    connection: int   # nginx's number of the connection
    sequence: int     # the request's number on that connection, from 1
    ended: float      # seconds since the epoch, to the millisecond
    duration: float   # since the request's first byte
    port: int         # of the connection, at Traefik's end
    uri: str

    @property
    def started(self):
        return self.ended - self.duration


_FORMAT = "$up_server $status $request_method $connection $connection_requests $msec $request_time $remote_port $uri"

_HEAD = """
daemon off;
user root;
worker_processes 1;
pid {directory}/pid;
error_log {directory}/error.log warn;
events {{ worker_connections 8192; }}
http {{
    log_format oracle '{format}';
    access_log off;
    # Idle connections stay open: whoever closes one does it for a reason that a test has made.
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_max_body_size 2m;
    client_body_buffer_size 1100k;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{inner};
        {statuses}
    }}
"""

_SERVER = """
    server {{
        listen {server};
        set $up_server "{server}";
        access_log {directory}/access.log oracle;
        default_type application/octet-stream;
        root {directory}/files;
        if (-f {bad}) {{ return 404 "this server has turned bad\\n"; }}
        location = / {{ return 200 "hello\\n"; }}
        {statuses}
        location /read/ {{ proxy_pass http://127.0.0.1:{inner}/status/; }}
        location = /hang {{ proxy_pass http://127.0.0.1:{hang}; proxy_read_timeout 1h; }}
        location = /close {{ return 444; }}
    }}
"""


class Nginx(Part):
    """Servers on the loopback, one for each of `addresses` (numeric, IPv6 without brackets).

    /bytes/N       a file of N bytes (SIZES); Range gives 206, If-Modified-Since 304
    /status/CODE   that code at once, also while a request's body is still on its way
    /read/CODE     that code after the whole body was read
    /hang          no answer, ever
    /close         the connection is closed without an answer
    """

    def __init__(self, directory, addresses=("127.0.0.1", "::1", "127.0.0.1"), ports=None):
        self.directory = Path(directory) / "nginx"
        hosts = [f"[{address}]" if ":" in address else address for address in addresses]
        self.servers = [f"{host}:{port}" for host, port in zip(hosts, ports or [free_port() for _ in hosts])]
        self._hang = None
        self._process = Process("nginx", ["nginx", "-e", "stderr", "-p", self.directory, "-c", self.directory / "nginx.conf"],
                                directory)

    def url(self, server):
        return f"http://{server}"

    def start(self):
        files = self.directory / "files" / "bytes"
        files.mkdir(parents=True, exist_ok=True)
        for size in SIZES:
            (files / str(size)).write_bytes(b"x" * size)
        # Connections are accepted by the kernel, and nobody ever reads them.
        self._hang = socket.create_server(("127.0.0.1", 0), backlog=512)
        (self.directory / "nginx.conf").write_text(self._configuration())
        self._process.start()
        for server in self.servers:
            host, _, port = server.rpartition(":")
            self._process.ready_when(lambda: self.is_listening(host, int(port)), 20, f"nginx listens on {server}")

    def is_listening(self, host, port):
        return connects(host.strip("[]"), port)

    def stop(self):
        self._process.stop(signal.SIGTERM)
        if self._hang:
            self._hang.close()

    def turn_bad(self, server):
        """From now on this server answers everything with 404."""
        self._flag(server).touch()

    def heal(self, server):
        self._flag(server).unlink()

    def rows(self, after=0):
        """The log's lines from line number `after` on."""
        path = self.directory / "access.log"
        if not path.exists():
            return []
        lines = path.read_text().splitlines(keepends=True)
        return [_row(line) for line in lines[after:] if line.endswith("\n")]

    def wait_for_rows(self, count, bound=20):
        """nginx logs a request when its last byte is gone, which may be after its client has read it."""
        wait_for(lambda: len(self.rows()) >= count, bound, lambda: f"{count} lines in nginx's log ({len(self.rows())})")
        return self.rows()

    def _flag(self, server):
        return self.directory / f"bad-{server.rpartition(':')[2]}"

    def _configuration(self):
        inner = free_port()
        statuses = "\n        ".join(_status(code) for code in CODES)
        text = _HEAD.format(directory=self.directory, format=_FORMAT, inner=inner, statuses=statuses)
        for server in self.servers:
            text += _SERVER.format(directory=self.directory, server=server, bad=self._flag(server), inner=inner,
                                   hang=self._hang.getsockname()[1], statuses=statuses)
        return text + "}\n"


def _status(code):
    what = {204: "204", 304: "304", 301: "301 /elsewhere"}.get(code, f'{code} "{code}\\n"')
    return f"location = /status/{code} {{ return {what}; }}"


def _row(line):
    server, code, method, connection, sequence, ended, duration, port, uri = line.split()
    return Row(server, int(code), method, int(connection), int(sequence), float(ended), float(duration), int(port), uri)


def connects(host, port):
    with socket.create_connection((host, port), timeout=5):
        return True
