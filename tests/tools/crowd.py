# SPDX-License-Identifier: Apache-2.0
"""A process of its own, in a cgroup and a network namespace that the test chose: many connections, or connections that get
no memory. Does what its arguments say, line by line: says what it did on stdout, and waits for a line on stdin."""

import ctypes
import errno
import json
import resource
import socket
import struct
import sys

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SO_ATTACH_FILTER = 26
LOAD_LENGTH = struct.pack("HBBI", 0x80, 0, 0, 0)  # BPF_LD | BPF_W | BPF_LEN
TAKE_ALL = struct.pack("HBBI", 0x06, 0, 0, 0xffffffff)  # BPF_RET | BPF_K


def say(**what):
    print(json.dumps(what), flush=True)


def wait():
    if not sys.stdin.readline():
        sys.exit(0)


class Pair:
    """Both ends of one connection."""

    def __init__(self, listener, filter_length=0):
        self.client = socket.socket(listener.family, socket.SOCK_STREAM)
        self.client.settimeout(20)
        if filter_length:
            attach_filter(self.client, filter_length)
        self.client.connect(listener.getsockname())
        self.server, _ = listener.accept()
        self.server.settimeout(20)

    def exchange(self):
        self.client.sendall(GET)
        assert self.server.recv(4096) == GET
        self.server.sendall(OK)
        assert self.client.recv(4096) == OK


def attach_filter(client, length):
    """A classic filter that takes everything. The kernel charges it to the memory from which a socket's state comes too."""
    code = ctypes.create_string_buffer(LOAD_LENGTH * (length - 1) + TAKE_ALL)
    client.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxQ", length, ctypes.addressof(code)))


def longest_filter():
    """After which a socket has no memory left."""
    for length in range(4096, 0, -1):
        with socket.socket() as probe:
            try:
                attach_filter(probe, length)
                return length
            except OSError:  # ENOMEM
                continue
    raise AssertionError("no filter at all")


def crowd(address, port, count, what=""):
    """Opens all connections, then sends a request on each, then closes them. With `starved`, none has memory left."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    listener = socket.create_server((address, int(port)), backlog=128)
    length = longest_filter() if what == "starved" else 0
    pairs = [Pair(listener, length) for _ in range(int(count))]
    say(open=len(pairs))
    wait()
    for pair in pairs:
        pair.exchange()
    say(exchanged=len(pairs))
    wait()


def scan(address, first, count):
    """Connects to ports behind which nobody listens."""
    refused = 0
    for port in range(int(first), int(first) + int(count)):
        with socket.socket() as client:
            refused += client.connect_ex((address, port)) == errno.ECONNREFUSED
    say(refused=refused)
    wait()


if __name__ == "__main__":
    {"crowd": crowd, "scan": scan}[sys.argv[1]](*sys.argv[2:])
