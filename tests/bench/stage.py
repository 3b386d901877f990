# SPDX-License-Identifier: Apache-2.0
"""What is measured upon: nginx, Traefiks that differ in what they record, and wrk; each in a cgroup of its own."""

import os
import re
import signal
import subprocess
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path as FilePath
from typing import NamedTuple

from parts.base import Part, Process, free_port, status_of
from parts.cgroup import Cgroup
from parts.nginx import Nginx
from parts.traefik import Traefik
from parts.upstat import Bpffs, Upstat

import bpf

BODY = 300_000
UPLOAD = 100_000

_UPLOAD_SCRIPT = f"""
wrk.method = "POST"
wrk.body = string.rep("x", {UPLOAD})
"""


class Workload(NamedTuple):
    path: str
    connections: int = 32
    script: str | None = None


WORKLOADS = {
    "small": Workload("/"),
    "large": Workload(f"/bytes/{BODY}", 16),
    "upload": Workload("/read/200", 16, _UPLOAD_SCRIPT),
    "connections": Workload("/", 1000),
}


class Answered(NamedTuple):
    """What wrk saw in one slice of time."""

    requests: int
    p50: float  # milliseconds
    p99: float


_UNITS = {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}


def _latency(text, percent):
    value, unit = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s|m)\b", text).groups()
    return float(value) * _UNITS[unit]


class Load:
    """wrk in a cgroup."""

    def __init__(self, directory, cgroup):
        self._directory = FilePath(directory)
        self._cgroup = cgroup
        self._child = None

    def start(self, url, workload, seconds):
        command = ["wrk", "-t1", f"-c{workload.connections}", f"-d{seconds}s", "--latency", "--timeout", "60s"]
        if workload.script:
            script = self._directory / "load.lua"
            script.write_text(workload.script)
            command += ["-s", str(script)]
        self._child = subprocess.Popen(self._cgroup.inside([*command, url + workload.path]), stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return self

    def send(self, number):
        self._child.send_signal(number)

    def end(self):
        """Ends the load now. Which of wrk's threads takes an interrupt is open; its main one is to wake up by it."""
        for _ in range(100):
            self.send(signal.SIGINT)
            try:
                return self.finish(0.2)
            except subprocess.TimeoutExpired:
                pass
        raise AssertionError("wrk does not end")

    def finish(self, bound=90):
        said, _ = self._child.communicate(timeout=bound)
        requests = re.search(r"(\d+) requests in", said)
        assert requests and int(requests[1]) and "Non-2xx" not in said and "Socket errors" not in said, f"wrk said:\n{said}"
        return Answered(int(requests[1]), _latency(said, 50), _latency(said, 99))

    def run(self, url, workload, seconds):
        return self.start(url, workload, seconds).finish()

    def kill(self):
        if self._child and self._child.poll() is None:
            self._child.kill()
            self._child.communicate()


def cpu_us(cgroup):
    """What all tasks of a cgroup have used so far, in microseconds: of the scheduler's clock, not of ticks."""
    return int(re.search(r"usage_usec (\d+)", (cgroup.path / "cpu.stat").read_text())[1])


class Servers(Nginx):
    """nginx in a cgroup of its own, with a body of BODY bytes too."""

    def __init__(self, directory, cgroup):
        super().__init__(directory, ["127.0.0.1"])
        self._process.cgroup = cgroup

    def start(self):
        files = self.directory / "files" / "bytes"
        files.mkdir(parents=True, exist_ok=True)
        (files / str(BODY)).write_bytes(b"x" * BODY)
        super().start()


class OneTraefik(Traefik):
    """more: what its static configuration has beyond a plain one's. idle: seconds until an unused connection to nginx goes:
    so what is attached before the next load sees all its connections begin."""

    def __init__(self, binary, directory, cgroup, services, name="traefik", more=None, idle=0.3):
        super().__init__(binary, directory, cgroup, services, metrics=False, api=False, name=name)
        self._more = more or {}
        self._idle = idle

    def _static(self):
        return {**super()._static(), **self._more,
                "serversTransport": {"forwardingTimeouts": {"idleConnTimeout": f"{int(self._idle * 1000)}ms"}}}

    def drain(self):
        time.sleep(self._idle + 0.2)


_MTAIL = r"""
counter traefik_service_requests_total by service, code, method

/"OriginStatus":(?P<code>\d+),.*"RequestMethod":"(?P<method>[A-Z]+)",.*"ServiceName":"(?P<service>[^"]+)"/ {
  traefik_service_requests_total[$service][$code][$method]++
}
"""


class Mtail(Part):
    """Debian's mtail on one access log; it is paid for by the cgroup that it is put in."""

    def __init__(self, directory, log, cgroup):
        self._directory = FilePath(directory)
        self._port = free_port()
        self._url = f"http://127.0.0.1:{self._port}/metrics"
        programs = self._directory / "mtail"
        self._process = Process("mtail", ["mtail", "--progs", programs, "--logs", log, "--address", "127.0.0.1", "--port",
                                          self._port, "--logtostderr"], directory, cgroup)

    def start(self):
        (self._directory / "mtail").mkdir(exist_ok=True)
        (self._directory / "mtail" / "traefik.mtail").write_text(_MTAIL)
        self._process.start()
        self._process.ready_when(lambda: status_of(self._url) == 200, 20, "mtail serves")

    def stop(self):
        self._process.stop()


class Programs(Part):
    """An agent whose programs are on no socket until they are attached, and empty programs. After the start: by_name."""

    def __init__(self, directory, upstat_binary, name="upstat", flags=None):
        self._stack = ExitStack()
        self._nowhere = Cgroup(f"upstat-bench-{os.getpid()}-nowhere-{name}")
        self.agent = Upstat(upstat_binary, directory, {"--traefik.cgroup": self._nowhere.path, "--poll.interval": "5s",
                                                       "--log.level": "warning", **(flags or {})}, name=name)

    def start(self):
        for part in (Bpffs(), self._nowhere, self.agent):
            self._stack.enter_context(part)
        self.by_name = {"empty": bpf.empty_programs(), "upstat": bpf.pinned_programs(self.agent.pin_path)}
        self._totals = bpf.CountingMap(self.agent.pin_path, "totals")

    def stop(self):
        self._stack.close()

    def on(self, cgroup, name):
        """Runs the programs of this name, if there are any, for the cgroup's sockets during a with block."""
        return bpf.attached(self.by_name[name], cgroup.path) if name else nullcontext()

    def answers(self):
        """All that upstat's have counted."""
        return bpf.answers(self._totals)


class Path(Part):
    """wrk, Traefik and nginx, one behind the other. What is not Traefik is paid for by the cgroup `around`."""

    def __init__(self, directory, traefik_binary, name="plain", more=None, log=False, mtail=False, idle=0.3):
        self.directory = FilePath(directory) / name
        self.directory.mkdir()
        self._stack = ExitStack()
        self.cgroup, self.around = (Cgroup(f"upstat-bench-{os.getpid()}-{name}-{side}") for side in ("traefik", "around"))
        self.nginx = Servers(self.directory, self.around)
        self.access_log = self.directory / "access.json" if log or mtail else None
        written = {"accessLog": {"filePath": str(self.access_log), "format": "json"}} if self.access_log else {}
        self.traefik = OneTraefik(traefik_binary, self.directory, self.cgroup, {"s": [self.nginx.url(self.nginx.servers[0])]},
                                  more={**(more or {}), **written}, idle=idle)
        self._mtail = Mtail(self.directory, self.access_log, self.cgroup) if mtail else nullcontext()
        self.load = Load(self.directory, self.around)
        self.url = f"{self.traefik.url}/s"

    def start(self):
        for part in (self.cgroup, self.around, self.nginx, self.traefik, self._mtail):
            self._stack.enter_context(part)

    def stop(self):
        self._stack.close()

    def forget_log(self):
        if self.access_log:
            os.truncate(self.access_log, 0)
