# SPDX-License-Identifier: Apache-2.0
"""Another process in Traefik's cgroup, which asks Traefik's servers all the time, as Traefik does."""

import sys

from .base import Part, Process, unique_name

PATH = "/neighbour"

# Its requests look like proxied ones. On half of them the connection stays, every other one is new.
_SCRIPT = f"""
import ctypes, http.client, itertools, os, struct, sys, time
pid, rate, servers = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
if pid:  # clone3 with set_tid: the same number as a process before
    number = (ctypes.c_int * 1)(pid)
    wanted = struct.pack("=11Q", 0, 0, 0, 0, 17, 0, 0, 0, ctypes.addressof(number), 1, 0)
    child = ctypes.CDLL(None, use_errno=True).syscall(435, wanted, len(wanted))
    if child < 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os.execv(sys.executable, [sys.executable, "-c", sys.orig_argv[2], "0", *sys.argv[2:]])
kept, due = {{}}, time.monotonic()
for count in itertools.count():
    server = servers[count % len(servers)]
    host, _, port = server.rpartition(":")
    connection = kept.pop(server, None) or http.client.HTTPConnection(host.strip("[]"), int(port), timeout=30)
    connection.request("GET", "{PATH}", headers={{"X-Forwarded-Server": "traefik", "X-Forwarded-For": "10.0.0.1"}})
    connection.getresponse().read()
    if count // len(servers) % 2:
        connection.close()
    else:
        kept[server] = connection
    due = max(due + 1 / rate, time.monotonic() - 1)
    time.sleep(max(0.0, due - time.monotonic()))
"""


class Neighbour(Part):
    """It sends `rate` requests a second, as process number `pid` where one is given: that number must be free."""

    def __init__(self, directory, cgroup, servers, rate=300, pid=0):
        self._process = Process(unique_name("neighbour"), [sys.executable, "-c", _SCRIPT, pid, rate, *servers], directory, cgroup)

    def start(self):
        self._process.start()

    def stop(self):
        self._process.stop()


def split(rows):
    """nginx's rows of all others, and those of neighbours."""
    return [row for row in rows if row.uri != PATH], [row for row in rows if row.uri == PATH]
