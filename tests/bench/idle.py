# SPDX-License-Identifier: Apache-2.0
"""Holds COUNT connections of its own, both ends, on which nothing happens; says so and waits for the end of stdin."""

import socket
import sys

listener = socket.create_server(("127.0.0.1", 0), backlog=128)
kept = []
for _ in range(int(sys.argv[1])):
    kept += [socket.create_connection(listener.getsockname()), listener.accept()[0]]
print("held", flush=True)
sys.stdin.read()
