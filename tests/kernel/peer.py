# SPDX-License-Identifier: Apache-2.0
"""A client that lives in a cgroup and does what it is told, and the server side of its connections."""

import array
import ctypes
import fcntl
import multiprocessing
import os
import socket
import struct
import termios

from parts.base import Part, wait_for


class RemoteClient(Part):
    """A process in `cgroup` that owns the client's sockets. Each call runs there; a socket is named by a number."""

    def __init__(self, cgroup):
        self._cgroup = cgroup
        self._pipe, self._child_pipe = multiprocessing.Pipe()
        self._pid = None

    def start(self):
        self._pid = os.fork()
        if self._pid == 0:
            try:
                (self._cgroup.path / "cgroup.procs").write_text(str(os.getpid()))
                self._pipe.close()
                _serve(self._child_pipe)
            finally:
                os._exit(0)
        self._child_pipe.close()

    def stop(self):
        self._pipe.close()
        if self._pid:
            os.waitpid(self._pid, 0)

    def call(self, name, *arguments):
        self._pipe.send((name, arguments))
        kind, value = self._pipe.recv()
        if kind == "error":
            raise value
        return value


def _serve(pipe):
    sockets = {}
    commands = _Commands(sockets)
    while True:
        try:
            name, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(("value", getattr(commands, name)(*arguments)))
        except OSError as error:
            pipe.send(("error", error))


class _Commands:
    def __init__(self, sockets):
        self._sockets = sockets

    def connect(self, family, address, wait=True):
        client = socket.socket(family, socket.SOCK_STREAM)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(10)
        self._sockets[client.fileno()] = client
        if wait:
            client.connect(address)
        else:
            client.setblocking(False)
            client.connect_ex(address)
        return client.fileno()

    def connect_again(self, number, address):
        """To another server, with the same socket: AF_UNSPEC takes it back to where it was before the first."""
        client = self._sockets[number]
        if ctypes.CDLL(None, use_errno=True).connect(client.fileno(), bytes(16), 16) != 0:
            raise OSError(ctypes.get_errno(), "connect to AF_UNSPEC")
        client.connect(address)

    def connect_from(self, port, address):
        """From a local port that a listener had."""
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind(("127.0.0.1", port))
        client.connect(address)
        self._sockets[client.fileno()] = client
        return client.fileno()

    def listen(self, family, address):
        server = socket.socket(family, socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen()
        self._sockets[server.fileno()] = server
        return server.fileno()

    def accept(self, number):
        accepted, _ = self._sockets[number].accept()
        self._sockets[accepted.fileno()] = accepted
        return accepted.fileno()

    def send(self, number, data):
        send_segment(self._sockets[number], data)

    def receive(self, number, size):
        client, data = self._sockets[number], b""
        while len(data) < size:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            more = client.recv(size - len(data))
            if not more:
                break
            data += more
        return data

    def converse(self, number, request, size, times):
        """As fast as the answers, of `size`, come."""
        for _ in range(times):
            self._sockets[number].sendall(request)
            self.receive(number, size)

    def close(self, number):
        self._sockets.pop(number).close()

    def reset(self, number):
        reset(self._sockets.pop(number))

    def shut(self, number):
        self._sockets[number].shutdown(socket.SHUT_WR)


def reset(connection):
    """Closes with a RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def send_segment(connection, data):
    """Sends `data` and waits until the other side has all of it, so that the next send is a segment of its own."""
    connection.sendall(data)
    left = array.array("i", [0])

    def acknowledged():
        fcntl.ioctl(connection, termios.TIOCOUTQ, left)
        return left[0] == 0

    wait_for(acknowledged, 10, "sent data acknowledged", interval=0.0005)


class Connection:
    """One connection between the client and a scripted server."""

    def __init__(self, client, listener, address=None):
        self.client = client
        family, self.address = listener.family, address or listener.getsockname()[:2]
        if isinstance(address, tuple) and ":" in address[0]:
            family = socket.AF_INET6
        self.number = client.call("connect", family, self.address)
        self.server, _ = listener.accept()
        self.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.settimeout(10)

    def ask(self, data=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
        """The client sends one segment, and the server reads it."""
        self.client.call("send", self.number, data)
        left = len(data)
        while left:
            left -= len(self.server.recv(left))

    def answer(self, *segments):
        """The server sends these segments, and the client reads them."""
        for segment in segments:
            self.server.sendall(segment)
            got = self.client.call("receive", self.number, len(segment))
            assert got == segment

    def close(self):
        self.server.close()
        self.client.call("close", self.number)
