# SPDX-License-Identifier: Apache-2.0
"""The agent under test."""

import signal
import subprocess
from pathlib import Path

from . import counts
from .base import Part, Process, free_port, get, get_json, status_of, unique_name, wait_for
from .exposition import parse, select, total

BPFFS = Path("/sys/fs/bpf")
RULE = "TraefikHighHttp4xxErrorRateBackend"


class Bpffs(Part):
    """The BPF file system: mounted here when it is not, and then unmounted at the end."""

    path = BPFFS

    def __init__(self):
        self._mounted = False

    def start(self):
        if f" {BPFFS} bpf " not in Path("/proc/self/mounts").read_text():
            subprocess.run(["mount", "-t", "bpf", "bpf", BPFFS], check=True)
            self._mounted = True

    def stop(self):
        if self._mounted and not any(BPFFS.iterdir()):  # else another run has come to use it
            subprocess.run(["umount", BPFFS], check=False)


class Upstat(Part):
    """flags: more of them, as {"--alert.for": "1s"} or with a list for a repeated one. Unless told otherwise it shows each
    count at once: a test's series are all new.

    Leaving it stops the agent, detaches its programs and checks that the pin directory is gone.
    """

    def __init__(self, binary, directory, flags=None, name="upstat", pin_path=None, address=None):
        self.binary = str(binary)
        self.directory = Path(directory) / name
        self.pin_path = Path(pin_path or BPFFS / unique_name())
        self.address = address or f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"
        self.flags = {"--web.listen-address": self.address, "--state.path": self.directory / "state",
                      "--bpf.pin-path": self.pin_path, "--poll.interval": "200ms", "--log.level": "debug", **(flags or {})}
        self.process = Process(name, [self.binary, "run", *spell(self.flags)], directory,
                               env={"UPSTAT_METRICS_ZERO_FOR": "0"})

    @property
    def log(self):
        return self.process.text()

    def launch(self):
        """Starts the process and waits for nothing."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.process.start()

    def start(self):
        self.launch()
        self.wait_until_ready()

    def wait_until_ready(self, bound=20):
        self.process.ready_when(self.ready, bound, "upstat is ready")

    def ready(self):
        return status_of(f"{self.url}/-/ready") == 200

    def kill(self):
        """kill -9, and wait for the end."""
        self.process.send(signal.SIGKILL)
        self.process.wait(10)

    def stop(self):
        self.process.stop()
        self.detach()

    def detach(self):
        detach(self.binary, self.pin_path)
        assert not self.pin_path.exists(), f"upstat detach left {self.pin_path}: {sorted(self.pin_path.rglob('*'))}"

    def ask(self, *words):
        """What `upstat COMMAND` prints of this agent."""
        return subprocess.run([self.binary, *words, "--web.listen-address", self.address], check=True, stdout=subprocess.PIPE,
                              text=True, timeout=30).stdout

    def samples(self):
        return parse(get(f"{self.url}/metrics"))

    def server_counts(self):
        return counts.of_upstat_servers(self.samples())

    def backend_counts(self):
        return counts.of_upstat_backends(self.samples())

    def alert(self, backend):
        """(state, percent) of the built-in rule for a backend."""
        for alert in get_json(f"{self.url}/api/v1/alerts")["alerts"]:
            if (alert["alert"], alert["backend"]) == (RULE, backend):
                return alert["state"], alert["percent"]
        return "inactive", None  # not known yet

    def settle(self):
        """Waits for three more polls, with a page each."""
        def polls():
            return total(self.samples(), "upstat_polls_total")
        for _ in range(3):
            wait_for(lambda before=polls(): polls() > before, 15, "the next poll")

    def wait_for_counts(self, wanted, read=None, bound=15):
        """Waits until the counts are `wanted`, and fails with the difference: key -> (upstat, wanted)."""
        read = read or self.server_counts
        try:
            wait_for(lambda: not counts.difference(read(), wanted), bound, "counts", interval=0.1)
        except AssertionError:
            left = counts.difference(read(), wanted)
            assert not left, f"(upstat, wanted) differ in {len(left)} of {len(wanted)} keys: {left}"


def detach(binary, pin_path):
    """Takes the programs off. A killed agent may hold its lock for a moment more."""
    said = None

    def detached():
        nonlocal said
        said = subprocess.run([str(binary), "detach", "--bpf.pin-path", str(pin_path)], capture_output=True, text=True, timeout=60,
                              check=False)
        return said.returncode == 0

    wait_for(detached, 5, lambda: f"upstat detach: exit {said.returncode}: {said.stderr}")


def spell(flags):
    """The command line for {"--name": value or [values]}."""
    words = []
    for name, value in flags.items():
        for one in value if isinstance(value, list) else [value]:
            words += [name, str(one)]
    return words


def broken_invariants(samples, most_outstanding):
    """Sentences about servers where requests = answers + unanswered + outstanding does not hold on this page.

    most_outstanding: the number of connections, each of which can have one request under way, and what may be sent between
    the two reads of one poll, answers first; 0 when nothing is under way. It is never below 0.
    """
    sentences = []
    for sample in select(samples, "upstat_server_requests_total"):
        server = sample.labels["server"]
        own = {name: value for name, value in sample.labels.items() if name in ("server", "traefik")}
        answers = total(samples, "upstat_server_responses_total", **own)
        unanswered = total(samples, "upstat_server_unanswered_total", **own)
        outstanding = total(samples, "upstat_server_outstanding_requests", **own)
        if sample.value != answers + unanswered + outstanding:
            sentences.append(f"{server}: {sample.value} requests, {answers} answers, {unanswered} unanswered, {outstanding} outstanding")
        if not 0 <= outstanding <= most_outstanding:
            sentences.append(f"{server}: {outstanding} outstanding, not 0 to {most_outstanding}")
    return sentences
