# SPDX-License-Identifier: Apache-2.0
"""What is measured upon: nginx, Traefiks that differ in what they record, and the load; each in a cgroup of its own."""

import os
import re
import subprocess
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path as FilePath
from typing import NamedTuple
from urllib.parse import urlsplit

from parts.base import Part, Process, free_port, status_of
from parts.cgroup import Cgroup
from parts.nginx import Nginx, connects
from parts.traefik import Traefik
from parts.upstat import Bpffs, Upstat

import bpf

BODY = 300_000
UPLOAD = 100_000
DOWNLOAD = 32_000_000
CONNECTIONS = 19_000  # that a process holds, where a host allows 20,000 descriptors


class Workload(NamedTuple):
    path: str
    connections: int = 32
    kind: str = "get"  # of bench_load
    body: int = 0
    servers: int = 0   # of `turns`


WORKLOADS = {
    "small": Workload("/"),
    "large": Workload(f"/bytes/{BODY}", 16),
    "upload": Workload("/read/200", 16, "post", UPLOAD),
    "connections": Workload("/", 1000),
    "websockets": Workload("/", kind="websocket"),
}


class Answered(NamedTuple):
    """What the load saw in one window."""

    responses: int      # of HTTP: what upstat is to count. Of websockets, the upgrades
    microseconds: list  # of each request, or message and its echo

    @property
    def requests(self):
        return len(self.microseconds)


class Load:
    """bench_load in a cgroup: windows of load, and nothing is under way between them. The connections stay."""

    def __init__(self, tool, cgroup):
        self._tool = tool
        self._cgroup = cgroup
        self._child = None

    def start(self, url, workload):
        """url: where the workload's path is to be found."""
        parts = urlsplit(url + workload.path)
        command = [self._tool, "client", parts.port, workload.connections, workload.kind, parts.path, workload.body,
                   *([workload.servers] if workload.servers else [])]
        self._child = subprocess.Popen(self._cgroup.inside([str(word) for word in command]), stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return self

    def window(self, seconds):
        self._child.stdin.write(f"{int(seconds * 1000)}\n")
        self._child.stdin.flush()
        said = self._child.stdout.readline()  # it ends by itself when nothing happens any more
        assert re.fullmatch(r"[\d ]+\n", said), f"the load ended: {said}{self._child.stdout.read()}"
        responses, *microseconds = map(int, said.split())
        return Answered(responses, microseconds)

    def stop(self):
        if self._child:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def run(self, url, workload, seconds):
        """One window on connections of its own."""
        try:
            return self.start(url, workload).window(seconds)
        finally:
            self.stop()


class OnOneCpu(Cgroup):
    """What is started inside runs on one CPU: the first, or the last, of those that this process may use."""

    def __init__(self, name, which):
        super().__init__(name)
        self._cpu = which(os.sched_getaffinity(0))

    def inside(self, command):
        return super().inside(["taskset", "-c", str(self._cpu), *command])


def cpu_us(cgroup):
    """What all tasks of a cgroup have used so far, in microseconds: of the scheduler's clock, not of ticks."""
    return int(re.search(r"usage_usec (\d+)", (cgroup.path / "cpu.stat").read_text())[1])


class Servers(Nginx):
    """nginx in a cgroup of its own, with bodies of BODY and DOWNLOAD bytes too."""

    def __init__(self, directory, cgroup, count=1, address="127.0.0.1", workers=1, scheme="http", listen=""):
        """listen: what stands behind each `listen ADDRESS`."""
        super().__init__(directory, [address] * count)
        self._process.cgroup = cgroup
        self._workers = workers
        self._scheme = scheme
        self._listen = listen

    def url(self, server):
        return f"{self._scheme}://{server}"

    def _configuration(self):
        text = super()._configuration().replace("worker_processes 1;", f"worker_processes {self._workers};")
        text = text.replace("worker_connections 8192", f"worker_connections {CONNECTIONS}")
        for server in self.servers:
            text = text.replace(f"listen {server};", f"listen {server} {self._listen};")
        return re.sub(r"(listen 0\.0\.0\.0:\d+) *;", r"\1 reuseport;", text)  # each worker has its part

    def start(self):
        files = self.directory / "files" / "bytes"
        files.mkdir(parents=True, exist_ok=True)
        for size in (BODY, DOWNLOAD):
            (files / str(size)).write_bytes(b"x" * size)
        super().start()


class Echo(Part):
    """bench_load's server for websockets."""

    def __init__(self, tool, directory, cgroup):
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process = Process("echo", [tool, "echo", self._port], directory, cgroup)

    def start(self):
        self._process.start()
        self._process.ready_when(lambda: connects("127.0.0.1", self._port), 20, "the echo listens")

    def stop(self):
        self._process.stop()


class OneTraefik(Traefik):
    """more: what its static configuration has beyond a plain one's. idle: seconds until an unused connection to nginx goes:
    so what is attached before the next load sees all its connections begin."""

    def __init__(self, binary, directory, cgroup, services, name="traefik", more=None, idle=0.3):
        super().__init__(binary, directory, cgroup, services, metrics=False, api=False, name=name)
        self._more = more or {}
        self._idle = idle

    def _static(self):
        return {**super()._static(), **self._more,
                "serversTransport": {"insecureSkipVerify": True, "forwardingTimeouts": {"idleConnTimeout": f"{int(self._idle * 1000)}ms"}}}

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
        self.by_name = {"empty": bpf.empty_programs(), "empty again": bpf.empty_programs(),
                        "upstat": bpf.pinned_programs(self.agent.pin_path)}
        self._totals = bpf.Table(self.agent.pin_path, "totals")

    def stop(self):
        self._stack.close()

    def on(self, cgroup, name):
        """Runs the programs of this name, if there are any, for the cgroup's sockets during a with block."""
        return bpf.attached(self.by_name[name], cgroup.path) if name else nullcontext()

    def runs(self):
        """name -> hook -> Runs so far."""
        return {name: {hook: program.runs() for hook, program in programs.items()} for name, programs in self.by_name.items()}

    def responses(self):
        """All that upstat's have counted."""
        return bpf.responses(self._totals)


class Path(Part):
    """Load, Traefik and nginx, one behind the other. What is not Traefik is paid for by the cgroup `around`.

    ways: services, each with a server of its own, and so with connections to it of its own.
    pinned: Traefik has one CPU, all else another one.
    servers: how nginx serves, as Servers has it.
    """

    def __init__(self, directory, options, name="plain", ways=1, pinned=False, more=None, log=False, mtail=False, idle=0.3,
                 servers=None):
        self.directory = FilePath(directory) / name
        self.directory.mkdir()
        self._stack = ExitStack()
        self._tool = options.build / "bench_load"
        sides = {f"upstat-bench-{os.getpid()}-{name}-{side}": which for side, which in (("traefik", min), ("around", max))}
        self.cgroup, self.around = (OnOneCpu(side, which) if pinned else Cgroup(side) for side, which in sides.items())
        self.nginx = Servers(self.directory, self.around, ways, **(servers or {}))
        self._echo = Echo(self._tool, self.directory, self.around)
        self.access_log = self.directory / "access.json" if log or mtail else None
        written = {"accessLog": {"filePath": str(self.access_log), "format": "json"}} if self.access_log else {}
        services = {f"s{i}": [self.nginx.url(server)] for i, server in enumerate(self.nginx.servers)}
        self.traefik = OneTraefik(options.traefik, self.directory, self.cgroup, {**services, "echo": [self._echo.url]},
                                  more={**(more or {}), **written}, idle=idle)
        self._mtail = Mtail(self.directory, self.access_log, self.cgroup) if mtail else nullcontext()
        self.url = self.url_of(WORKLOADS["small"], 0)

    def start(self):
        for part in (self.cgroup, self.around, self.nginx, self._echo, self.traefik, self._mtail):
            self._stack.enter_context(part)

    def stop(self):
        self._stack.close()

    def url_of(self, workload, way):
        return f"{self.traefik.url}/{'echo' if workload.kind == 'websocket' else f's{way}'}"

    def load(self, cgroup=None):
        return Load(self._tool, cgroup or self.around)

    def cpu_us(self):
        """(Traefik's, the whole path's), so far."""
        traefik, around = cpu_us(self.cgroup), cpu_us(self.around)
        return traefik, traefik + around

    def forget_log(self):
        if self.access_log:
            os.truncate(self.access_log, 0)
