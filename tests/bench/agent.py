# SPDX-License-Identifier: Apache-2.0
"""`agent`: what the agent itself costs, with 10 to 10,000 servers that each give 5 codes to 2 methods.

The pinned maps are filled and, once a poll, every one of their counters is raised: each series of each page changes,
which is more than real traffic does, and goes into the history. A static map gives each ten servers to a backend; no API
is asked. No page is read while a poll's CPU is measured, and nothing is pushed.

The memory is that of another agent, whose window and poll are a fifth as long: as many samples, and so as much memory,
as the default ones have after two windows. Only then is all there that an agent keeps. The next agent, which goes on with
its maps, pushes.

A poll looks through the host's processes for Traefik, so it is measured once more beside CROWD of them that sleep.
"""

import gzip
import http.server
import os
import re
import socket
import statistics
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from parts.base import Part, get, wait_for
from parts.cgroup import Cgroup
from parts.exposition import parse, total
from parts.upstat import Bpffs, Upstat

import bpf
from figures import Figure, of_spread

CODES = (200, 302, 404, 429, 500)
METHODS = {"GET": 1, "POST": 3}  # enum upstat_method
PER_BACKEND = 10
POLL = 5  # seconds
FIRST_POLLS = 6
POLLS = 15
SCRAPES = 9
CROWD = 500  # processes
SCRAPE_EACH = 15  # seconds, of Prometheus
FASTER = 5        # so much is the agent's time whose memory is looked at
WINDOW = 180      # seconds, of the rule


def addresses(count):
    return [f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}" for i in range(1, count + 1)]


class Sink(Part):
    """Takes pushes and remembers how big they were."""

    def __init__(self):
        self.sizes = []  # (bytes on the wire, bytes of text)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                text = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                outer.sizes.append((len(body), len(text)))
                self._done()

            def do_DELETE(self):
                self._done()

            def _done(self):
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def start(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


class Filler:
    """Counts for `servers` servers in an agent's maps, as many as anybody wants."""

    def __init__(self, pin_path, servers):
        self._totals, self._requests = (bpf.Table(pin_path, name) for name in ("totals", "requests"))
        self._servers = [bpf.server_key(address, 80) for address in addresses(servers)]
        self._responses = [bpf.response_key(server, code, method) for server in self._servers for code in CODES
                           for method in METHODS.values()]

    def set(self, count):
        for server in self._servers:
            self._requests.set(bpf.request_key(server), count * len(CODES) * len(METHODS))
        for key in self._responses:
            self._totals.set(key, count)

    def close(self):
        self._totals.close()
        self._requests.close()


def write_backends(path, servers):
    """JSON is YAML."""
    all_servers = [f'"{address}:80"' for address in addresses(servers)]
    backends = [f'"backend-{i // PER_BACKEND}": [{", ".join(all_servers[i:i + PER_BACKEND])}]'
                for i in range(0, len(all_servers), PER_BACKEND)]
    path.write_text(f'backends: {{{", ".join(backends)}}}\n')


def cpu_ms(pid):
    """Of all threads, by the scheduler's clock."""
    return sum(int(task.joinpath("schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e6


def memory(pid, name):
    """MiB."""
    return int(re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


PARTS = {  # of the resident memory: the names of the files behind it
    "of its own": r"$",
    "the kernel's maps": r"anon_inode:bpf-map$",
    "pages of the binary": r"upstat$",
    "pages of libc and libstdc++": r"(libc|libstdc\+\+|libm|libgcc_s|ld-linux.*)\.so",
    "pages of OpenSSL": r"(libcrypto|libssl)\.so",
    "pages of libcurl and other libraries": r".*",
}


def memory_parts(pid):
    """part -> MiB. Pages of files the kernel can do without, and shares among processes."""
    parts, part = dict.fromkeys(PARTS, 0.0), None
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):  # a mapping: addresses, access, offset, device, inode, file
            name = os.path.basename(words[5]) if len(words) > 5 and not words[5].startswith("[") else ""
            part = next(part for part, pattern in PARTS.items() if re.match(pattern, name))
        elif words[0] == "Rss:":
            parts[part] += int(words[1]) / 1024
    return parts


def measure(directory, options):
    figures, details = [], {}
    for servers in options.servers:
        measured = _with_servers(Path(directory), options, servers)
        figures += _figures_of(servers, measured)
        details[servers] = measured
    details["crowd"] = _beside_a_crowd(Path(directory), options)
    figures += _figures_of_crowd(details["crowd"])
    stripped = Path(directory) / "upstat"
    subprocess.run(["strip", "-o", stripped, options.upstat], check=True)
    figures.append(Figure("agent", "binary, stripped", "MiB", stripped.stat().st_size / 2**20))
    return figures, details


def _with_servers(directory, options, servers):
    with ExitStack() as stack:
        stack.enter_context(Bpffs())
        nowhere = stack.enter_context(Cgroup(f"upstat-bench-{os.getpid()}-{servers}"))
        backends = directory / f"backends-{servers}.yml"
        write_backends(backends, servers)
        flags = {"--traefik.cgroup": nowhere.path, "--backends.file": backends, "--log.level": "warning", **room_for(servers)}

        def agent(name, **more):
            return stack.enter_context(Upstat(options.upstat, directory, {**flags, **more}, name=f"{name}-{servers}"))

        def filler(of):
            made = Filler(of.pin_path, servers)
            stack.callback(made.close)
            return made

        first = agent("agent", **{"--poll.interval": f"{POLL}s"})
        measured = _polls(first, filler(first))
        first.process.stop()
        old = agent("old", **{"--poll.interval": f"{POLL // FASTER}s", "--alert.window": f"{WINDOW // FASTER}s"})
        return {**measured, **_memory(old, filler(old)), **_push(stack, old), "history_mib": _history_mib(options, servers)}


def _history_mib(options, servers):
    """Of a whole day, which no agent here lives: the same counts go through that room alone."""
    done = subprocess.run([options.build / "poll_cost", str(servers), "day"], check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout) / 2**20


def _beside_a_crowd(directory, options):
    """ms of each poll of an idle agent, by itself and beside many processes."""
    with ExitStack() as stack:
        stack.enter_context(Bpffs())
        nowhere = stack.enter_context(Cgroup(f"upstat-bench-{os.getpid()}-crowd"))
        agent = stack.enter_context(Upstat(options.upstat, directory, {"--traefik.cgroup": nowhere.path, "--log.level": "warning",
                                                                       "--poll.interval": f"{POLL}s"}, name="crowd"))
        pid = agent.process.pid
        measured = {"processes": processes(), "alone_ms": [_cpu_of_poll(pid) for _ in range(POLLS)]}
        for _ in range(CROWD):
            sleeper = subprocess.Popen(["sleep", "infinity"])
            stack.callback(sleeper.wait)
            stack.callback(sleeper.kill)
        return {**measured, "beside_ms": [_cpu_of_poll(pid) for _ in range(POLLS)]}


def _figures_of_crowd(measured):
    return [of_spread("agent", "no servers: CPU", "ms/poll", measured["alone_ms"], f"{measured['processes']} processes on the host"),
            of_spread("agent", f"no servers, {CROWD} processes more: CPU", "ms/poll", measured["beside_ms"])]


def processes():
    return sum(entry.name.isdigit() for entry in Path("/proc").iterdir())


def room_for(servers):
    """Of the maps, with some for reasons."""
    return {"--bpf.totals-size": max(65536, servers * 12), "--bpf.requests-size": max(16384, servers)}


def _polls(agent, filler):
    pid = agent.process.pid
    for count in range(1, 1 + FIRST_POLLS):  # the series are there, and the agent has grown to its size
        filler.set(count)
        time.sleep(POLL)
    cpu = []
    for count in range(1 + FIRST_POLLS, 1 + FIRST_POLLS + POLLS):
        filler.set(count)
        cpu.append(_cpu_of_poll(pid))
    plain, plain_size = _scrapes(f"{agent.url}/metrics", "identity")
    packed, packed_size = _scrapes(f"{agent.url}/metrics", "gzip")
    wall = total(parse(get(f"{agent.url}/metrics")), "upstat_poll_duration_seconds") * 1000
    return {"cpu_ms": cpu, "wall_ms": wall, "scrape_ms": plain, "page_bytes": plain_size, "packed_scrape_ms": packed,
            "packed_page_bytes": packed_size}


def _cpu_of_poll(pid):
    """ms."""
    before = cpu_ms(pid)
    time.sleep(POLL)  # any stretch of this length has one poll in it
    return cpu_ms(pid) - before


def _memory(agent, filler):
    """Of one that is read and has as many samples as it will ever have: three looks."""
    pid, looks = agent.process.pid, []
    begun = time.monotonic()
    count = 0
    while len(looks) < 3:
        count += 1
        filler.set(count)
        time.sleep(POLL / FASTER)
        if time.monotonic() - begun > (2 + len(looks) / 4) * WINDOW / FASTER:
            _scrapes(f"{agent.url}/metrics", "gzip", 1)
            looks.append(memory(pid, "VmRSS"))
    return {"memory_mib": looks, "peak_mib": memory(pid, "VmHWM"), "memory_parts_mib": memory_parts(pid)}


def _push(stack, agent):
    """The next agent goes on with the same maps, and pushes what its first poll has found."""
    sink = stack.enter_context(Sink())
    agent.process.stop()
    agent.process.command += ["--push.url", sink.url]
    agent.start()
    wait_for(lambda: sink.sizes, 20, "a push")
    wire, text = sink.sizes[0]
    return {"push_bytes": wire, "push_text_bytes": text, "pushing_mib": memory(agent.process.pid, "VmRSS"),
            "pushing_peak_mib": memory(agent.process.pid, "VmHWM")}


def _scrapes(url, encoding, scrapes=SCRAPES):
    """ms of each, and the bytes of the last response. By a client that costs next to nothing: it looks at no byte."""
    address = urlsplit(url)
    request = f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nAccept-Encoding: {encoding}\r\n\r\n".encode()
    room = bytearray(1 << 20)
    times = []
    for _ in range(scrapes):
        began = time.perf_counter()
        with socket.create_connection((address.hostname, address.port)) as client:
            client.sendall(request)
            size = 0
            while got := client.recv_into(room):
                size += got
        times.append((time.perf_counter() - began) * 1000)
    return times, size


def _figures_of(servers, measured):
    series = servers * len(CODES) * len(METHODS)

    def row(name, unit, values, note=""):
        values = values if isinstance(values, list) else [values]
        return of_spread("agent", f"{servers:,} servers: {name}", unit, values, note)

    return [
        row("CPU", "ms/poll", measured["cpu_ms"], f"{series:,} response series, all of them changed"),
        row("CPU, poll each 5 s", "% of a core", [ms / POLL / 10 for ms in measured["cpu_ms"]]),
        row(f"CPU, and Prometheus reads each {SCRAPE_EACH} s, packed", "% of a core",
            [ms / POLL / 10 + statistics.median(measured["packed_scrape_ms"]) / SCRAPE_EACH / 10 for ms in measured["cpu_ms"]],
            "a scrape's time taken for CPU"),
        row("the maps' part of a poll", "ms", measured["wall_ms"]),
        row("resident memory", "MiB", measured["memory_mib"], f"peak {measured['peak_mib']:.1f}; two windows old"),
        *(row(f"resident memory, {part}", "MiB", mib) for part, mib in measured["memory_parts_mib"].items()),
        row("memory of a day's history", "MiB", measured["history_mib"], "each poll raises every count"),
        row("resident memory behind a push", "MiB", measured["pushing_mib"], f"peak {measured['pushing_peak_mib']:.1f}"),
        row("scrape", "ms", measured["scrape_ms"], f"{measured['page_bytes'] / 2**20:.2f} MiB of text"),
        row("scrape, gzip", "ms", measured["packed_scrape_ms"], f"{measured['packed_page_bytes'] / 1024:,.0f} KiB"),
        row("push", "KiB", measured["push_bytes"] / 1024, f"{measured['push_text_bytes'] / 1024:,.0f} KiB of text"),
    ]
