# SPDX-License-Identifier: Apache-2.0
"""One nginx as many servers, on many addresses. What a server answers does not depend on the path, which routes are free to
choose and to change; its log says who asked."""

import random
import socket
from typing import NamedTuple

from .base import free_port, wait_for
from .nginx import Nginx

CODES = (201, 204, 301, 304, 400, 401, 403, 404, 418, 429, 500, 503)
USER, CHECK, AUTH = "user", "health-check", "forward-auth"

_FORMAT = "$up_server $status $request_method $http_x_forwarded_server:$http_x_forwarded_method"

_HEAD = """
daemon off;
user root;
worker_processes 1;
pid {directory}/pid;
error_log {directory}/error.log warn;
events {{ worker_connections 8192; }}
http {{
    log_format oracle '{format}';
    access_log {directory}/access.log oracle;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    map "$arg_code:$http_x_code" $wanted {{ ~^(\\d+): $1; ~^:(\\d+)$ $1; default 200; }}
"""

_SERVER = """
    server {{
        listen {server};
        set $up_server "{server}";
        {closes}
        {statuses}
        location / {{ return 200 "hello\\n"; }}
    }}
"""


class Asked(NamedTuple):
    """What one line of the log says, as far as it matters who asked."""

    server: str
    code: int
    method: str
    who: str


class ManyServers(Nginx):
    """As many as are added before the start.

    X-Code or ?code=   the status that is wanted; the latter comes first
    X-Close: yes       the connection is closed without a response, as servers of `closing` always do
    """

    def __init__(self, directory):
        super().__init__(directory, addresses=())
        self.closing = set()

    def add(self, *addresses):
        """One port on each of these addresses; the servers as upstat's label has them."""
        port = free_port()
        servers = [f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address in addresses]
        self.servers += servers
        return servers

    def add_at_80(self):
        """A server at the port that a URL need not name, on an address of its own."""
        address = wait_for(_address_with_port_80, 10, "an address whose port 80 is free")
        self.servers.append(f"{address}:80")
        return f"{address}:80"

    def asked(self):
        path = self.directory / "access.log"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [_asked(line) for line in lines if line.endswith("\n")]

    def _configuration(self):
        text = _HEAD.format(directory=self.directory, format=_FORMAT)
        statuses = "\n        ".join(f"if ($wanted = {code}) {{ {_returns(code)} }}" for code in CODES)
        for server in self.servers:
            closes = "return 444;" if server in self.closing else "if ($http_x_close) { return 444; }"
            text += _SERVER.format(server=server, closes=closes, statuses=statuses)
        return text + "}\n"


def _returns(code):
    return {204: "return 204;", 304: "return 304;", 301: "return 301 /elsewhere;"}.get(code, f'return {code} "{code}\\n";')


def _asked(line):
    server, code, method, marks = line.split()
    proxy, auth = marks.split(":")
    who = AUTH if auth != "-" else USER if proxy != "-" else CHECK
    return Asked(server, int(code), method, who)


def _address_with_port_80():
    address = f"127.{random.randint(64, 127)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
    with socket.create_server((address, 80)):
        return address
