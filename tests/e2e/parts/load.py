# SPDX-License-Identifier: Apache-2.0
"""Load on keep-alive connections, bounded in count: wrk for bulk, and clients of our own for precise mixes."""

import http.client
import json
import random
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from .base import unique_name, wait_for


class Request(NamedTuple):
    path: str
    method: str = "GET"
    body: int = 0         # bytes
    headers: tuple = ()   # of (name, value)


class Done(NamedTuple):
    """What one client saw of one request."""

    client: int
    request: Request
    status: int     # 0: the connection broke before an answer
    started: float  # seconds since the epoch
    ended: float


_SCRIPT = """
local mix = {%s}
local limit, made, answered, threads = %d, 0, 0, 0
function setup(thread) thread:set("shift", threads * 7) threads = threads + 1 end
function init()
  for i, r in ipairs(mix) do
    mix[i] = wrk.format(r[1], r[2], r[4], r[3] > 0 and string.rep("x", r[3]) or nil)
  end
end
function request() made = made + 1 return mix[(made + (shift or 0)) %% #mix + 1] end
function response()
  answered = answered + 1
  if answered >= limit then wrk.thread:stop() end
end
"""


class Wrk:
    """wrk with one connection a thread, so that it can end between two requests and cut none of them off.

    run() sends exactly connections * each requests, in turn from `mix`. HEAD is not for wrk: it waits for a body.
    """

    def __init__(self, directory, url, mix, each, connections=8, bound=120):
        self.url = url
        self.count = connections * each
        self.connections = connections
        self.bound = bound
        self.script = Path(directory) / f"{unique_name('wrk')}.lua"
        self.output = self.script.with_suffix(".log")
        self.script.write_text(_SCRIPT % (", ".join(map(_lua, mix)), each))
        self._child = None

    def start(self):
        # stdbuf: the line that wrk says once its threads run is wanted at once.
        with open(self.output, "w") as output:
            self._child = subprocess.Popen(
                ["stdbuf", "-oL", "wrk", "-t", str(self.connections), "-c", str(self.connections), "-d", f"{self.bound}s",
                 "--timeout", "30s", "-s", str(self.script), self.url],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        return self

    def finish(self):
        """Waits for the last answer; returns the number of answers, and fails when it is not the number asked for."""
        try:
            wait_for(self._through, self.bound, f"wrk sent {self.count} requests")
            # wrk's main thread would sleep to the end of -d although its threads are done.
            self._child.send_signal(signal.SIGINT)
            self._child.wait(20)
        finally:
            self.stop()
        text = self.output.read_text()
        match = re.search(r"(\d+) requests in ", text)
        assert match and "Socket errors" not in text, f"wrk said:\n{text}"
        assert int(match[1]) == self.count, f"wrk had {match[1]} answers, not {self.count}:\n{text}"
        return self.count

    def run(self):
        self.start()
        return self.finish()

    def stop(self):
        if self._child and self._child.poll() is None:
            self._child.kill()
            self._child.wait(10)

    def _through(self):
        """All threads were there, and only the main one is left."""
        if self._child.poll() is not None:
            return True
        status = Path(f"/proc/{self._child.pid}/status").read_text()
        return "threads and" in self.output.read_text() and "\nThreads:\t1\n" in status


def streams(url, paths, count, connections, each):
    """h2load: `count` requests in turn for each of the paths, `each` of them at once on each HTTP/2 connection."""
    said = subprocess.run(["h2load", "-n", str(count), "-c", str(connections), "-m", str(each), "-T", "110", "-N", "110",
                           *(f"{url}{path}" for path in paths)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=True).stdout
    assert f" {count} done, " in said and " 0 errored, 0 timeout" in said, said


class Clients:
    """Threads with one keep-alive connection each, working through a plan; every answer is recorded.

    rate is in requests per second over all clients; without it they go as fast as they can.
    """

    def __init__(self, url, plan, clients=4, rate=None, timeout=60):
        self.done = []
        self._address = (urlsplit(url).hostname, urlsplit(url).port)
        self._pause = clients / rate if rate else 0
        self._timeout = timeout
        self._plans = [list(plan[i::clients]) for i in range(clients)]
        self._open = threading.Event()
        self._open.set()
        self._idle = 0
        self._end = False
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, args=(i,), daemon=True) for i in range(clients)]
        self.count = len(plan)

    def start(self):
        for thread in self._threads:
            thread.start()
        return self

    def pause(self, bound=60):
        """Returns when every client has read its answer and none will send until resume(); connections stay open."""
        self._open.clear()
        wait_for(lambda: self._idle + sum(not t.is_alive() for t in self._threads) >= len(self._threads), bound,
                 "every client pauses")

    def resume(self):
        self._open.set()

    def finish(self, bound=120):
        """Waits until the plan is done; returns the list of Done."""
        deadline = time.monotonic() + bound
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            self.stop()
            raise AssertionError(f"{len(self.done)} of {self.count} requests done within {bound} s")
        return self.done

    def run(self, bound=120):
        self.start()
        return self.finish(bound)

    def stop(self):
        """Ends the load after the requests that are under way."""
        self._end = True
        self._open.set()
        for thread in self._threads:
            if thread.ident:
                thread.join(60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def statuses(self):
        return [done.status for done in self.done]

    def _work(self, number):
        connection = None
        due = time.monotonic()
        for request in self._plans[number]:
            self._gate()
            if self._end:
                break
            if self._pause:
                due = max(due + self._pause, time.monotonic() - 1)
                time.sleep(max(0.0, due - time.monotonic()))
            connection = connection or http.client.HTTPConnection(*self._address, timeout=self._timeout)
            started = time.time()
            try:
                connection.request(request.method, request.path, body=b"x" * request.body if request.body else None,
                                   headers={**({"Content-Length": "0"} if request.method == "POST" and not request.body else {}),
                                            **dict(request.headers)})
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                status = 0
            if status == 0:
                connection.close()
                connection = None
            self.done.append(Done(number, request, status, started, time.time()))
        if connection:
            connection.close()

    def _gate(self):
        if not self._open.is_set():
            with self._lock:
                self._idle += 1
            self._open.wait()
            with self._lock:
                self._idle -= 1


def mix(services, count, seed=1):
    """`count` requests for the named services: every code, method and size of the exact test, in a repeatable disorder.

    Uploads of more than 100 KB go where the server reads them whole before it answers: Traefik's client side closes the
    connection of a larger upload that is answered early.
    """
    kinds = [
        *[Request(f"/status/{code}") for code in (200, 204, 301, 304, 400, 403, 404, 429, 500, 503)],
        *[Request(f"/bytes/{size}") for size in (0, 1, 1000, 100_000, 1_000_000)],
        Request("/bytes/1000", headers=(("Range", "bytes=10-99"),)),
        Request("/bytes/1000000", headers=(("Range", "bytes=0-499999"),)),
        Request("/bytes/1000", headers=(("If-Modified-Since", "Fri, 31 Dec 2100 23:59:59 GMT"),)),
        *[Request(path, "HEAD") for path in ("/bytes/1000", "/bytes/1000000", "/status/204", "/status/301", "/status/404",
                                             "/status/503")],
        *[Request(f"/read/{code}", "POST", body) for code, body in
          ((200, 0), (200, 1), (204, 1000), (206, 10_000), (400, 100_000), (403, 1_000_000), (404, 1_000_000), (429, 5000),
           (500, 300_000), (503, 65_536))],
        *[Request(f"/status/{code}", "POST", body) for code, body in ((200, 0), (404, 100), (429, 100_000), (301, 20_000))],
        Request("/status/200", "PUT", 100), Request("/status/204", "DELETE"), Request("/status/200", "PATCH", 10),
        Request("/status/200", "OPTIONS"), Request("/status/404", "PURGE"),
    ]
    dice = random.Random(seed)
    return [_for(dice.choice(services), kinds[i] if i < len(kinds) else dice.choice(kinds)) for i in range(count)]


def bulk_mix(services):
    """A mix for wrk: small answers and uploads of every code that it can read to the end."""
    kinds = [
        *[Request(f"/status/{code}") for code in (200, 200, 204, 301, 304, 400, 403, 404, 404, 429, 500, 503)],
        *[Request(f"/bytes/{size}") for size in (0, 1, 1000, 10_000)],
        Request("/bytes/1000", headers=(("Range", "bytes=10-99"),)),
        Request("/status/200", "POST", 1000), Request("/read/404", "POST", 10_000), Request("/read/200", "POST", 100),
    ]
    return [_for(service, kind) for kind in kinds for service in services]


def _for(service, request):
    return request._replace(path=f"/{service}{request.path}")


def _lua(request):
    headers = ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in request.headers)
    return f"{{{json.dumps(request.method)}, {json.dumps(request.path)}, {request.body}, {{{headers}}}}}"
