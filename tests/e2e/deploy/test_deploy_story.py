# SPDX-License-Identifier: Apache-2.0
"""An operator's story on a Debian with systemd, by the commands of deploy/README.md: install, boot 20 times, reload, upgrade
under load, outage, API off, rename, remove. Each step is printed with what was seen; `pytest -s` shows them."""

import re
import time
from pathlib import Path
from shutil import which

import pytest

from conftest import TOP
from containers import Store
from host import Agent, root_tar, servers, traefik  # noqa: F401
from machine import InNetwork, Machine
from parts import counts
from parts.base import get_json, wait_for
from parts.exposition import total
from parts.load import Clients, Request, mix

BOOTS = 20
PLAN = 2000


def shown(section):
    """The commands below a heading of deploy/README.md, but for the build."""
    text = (TOP / "deploy/README.md").read_text()
    block = re.search(rf"(?ms)^##+ {section}$.*?\n\n((?:    [^\n]+\n)+)", text)[1]
    return [line.strip().replace("scripts/build && ", "") for line in block.splitlines()]


@pytest.fixture
def machine(stack, tmp_path, root_tar, upstat_binary, traefik_binary):
    """The repository is at /src, upstat is not installed."""
    tmp_path.chmod(0o755)
    store = stack.enter_context(Store())
    machine = stack.enter_context(Machine(store, root_tar, {
        tmp_path: tmp_path,
        TOP / "deploy": "/src/deploy:ro",
        upstat_binary: "/src/build/upstat:ro",
        Path(traefik_binary).resolve(): "/usr/local/bin/traefik:ro",
        which("nginx"): "/usr/sbin/nginx:ro",
    }))
    stack.enter_context(InNetwork(machine.pid))
    return machine


class Story:
    """The steps in their order, with all that they share."""

    def __init__(self, stack, machine, servers, traefik, directory, binary):
        self.stack = stack
        self.machine = machine
        self.servers = servers
        self.traefik = traefik
        self.agent = Agent(machine, binary, directory)
        self._began = time.monotonic()
        self._first = 0  # of the rows that are compared

    def tell(self, step, seen):
        print(f"{time.monotonic() - self._began:6.1f} s  {step:8}  {seen}")

    def files(self):
        """All files of the machine, but for those that change by themselves."""
        found = self.machine.run("find", "/", "-xdev", "-not", "-path", "/tmp*", "-not", "-path", "/run/*", "-not", "-path", "/var/log/*",
                                 "-not", "-path", "/var/lib/systemd/*", "-not", "-path", "/var/cache/*", bound=120)
        return set(found.split("\n"))

    def load(self, seed, plan=PLAN):
        return Clients(self.traefik.url, mix(list(self.traefik.services), plan, seed=seed), clients=3, rate=200)

    def difference(self):
        """Waits until servers and backends are as nginx's log has them; returns how many responses that is."""
        rows = self.servers.rows(self._first)
        logged = counts.of_nginx(rows)
        self.agent.wait_for_counts(logged, bound=30)
        self.agent.wait_for_counts(counts.by_service(logged, self.traefik.listed_services()), self.agent.backend_counts)
        return len(rows)

    def begin_anew(self):
        """Without pins and state, so that servers' series can be compared too."""
        self.machine.systemctl("stop", "upstat")
        self.machine.run("sh", "-c", "upstat detach; rm -rf /var/lib/upstat/*")
        self._first = len(self.servers.rows())
        self.machine.systemctl("start", "upstat")
        self.agent.wait_until_ready()

    def alerts(self, state):
        return {(one["alert"], one["backend"]) for one in get_json(f"{self.agent.url}/api/v1/alerts")["alerts"] if one["state"] == state}

    def install(self):
        said = self.machine.run("sh", "-ec", "cd /src; " + "; ".join(line.split("#")[0] for line in shown("systemd")), check=False)
        assert self.machine.systemctl("is-active", "upstat", check=False).strip() == "active", said + self.machine.journal("upstat")
        settings = "UPSTAT_POLL_INTERVAL=200ms\nUPSTAT_METRICS_ZERO_FOR=0\nUPSTAT_LOG_LEVEL=debug\n"
        self.machine.write("/etc/default/upstat", settings)
        self.machine.systemctl("restart", "upstat")
        self.stack.enter_context(self.agent)
        page = self.machine.systemctl("show", "--property=Documentation", "--value", "upstat").strip()
        assert self.machine.run("head", "-1", page.removeprefix("file://")).startswith("# Deploying upstat")
        assert self.machine.systemctl("is-enabled", "upstat").strip() == "enabled"
        self.tell("install", f"active; its documentation is {page}")

    def boot(self):
        """Both are started in one transaction, nothing is pinned, and clients are already asking."""
        self.machine.write("/etc/systemd/system/boot.target", "[Unit]\nWants=traefik.service upstat.service\n")
        self.machine.systemctl("daemon-reload")
        responses = 0
        for boot in range(BOOTS):
            self.machine.systemctl("stop", "traefik", "upstat", "boot.target")
            self.machine.run("upstat", "detach")
            before = len(self.servers.rows())
            with self.load(boot).start() as load:
                self.machine.systemctl("start", "boot.target")
                wait_for(lambda: load.statuses().count(200) > 30, 60, "responses of the new Traefik")
                load.stop()
            self.agent.wait_until_ready()
            logged = counts.of_nginx(self.servers.rows())  # backends go on over a boot
            self.agent.wait_for_counts(counts.by_service(logged, self.traefik.listed_services()), self.agent.backend_counts, bound=30)
            responses += len(self.servers.rows()) - before
        self.tell("boot", f"{BOOTS} times; {responses} responses, none missed")
        self.begin_anew()

    def reload(self):
        pid = self.machine.main_pid("upstat")
        self.machine.write("/etc/upstat/upstat.yml", "alert: {window: 10s, for: 1s, threshold-percent: 50}\n")
        self.machine.systemctl("reload", "upstat")
        wait_for(lambda: get_json(f"{self.agent.url}/api/v1/alerts")["rules"][0]["threshold_percent"] == 50, 20, "the new threshold")
        assert self.machine.main_pid("upstat") == pid
        self.tell("reload", "threshold 50 %, the same process")

    def upgrade(self):
        with self.load(100).start() as load:
            wait_for(lambda: len(load.done) > 100, 30, "some load")
            self.machine.run("sh", "-ec", "cd /src; install build/upstat /usr/local/bin/; systemctl restart upstat")
            self.agent.wait_until_ready()
            after = len(load.done)
            wait_for(lambda: len(load.done) > after + 100, 30, "more load")
            load.stop()
        assert 0 not in load.statuses(), "no client noticed"
        self.tell("upgrade", f"{self.difference()} responses, none missed")

    def outage(self):
        plan = [Request(f"/{name}/status/200") for name in self.traefik.services] * 4000
        wanted = {("UpstatBackendConnectFailures", name) for name in self.traefik.listed_services()}
        with Clients(self.traefik.url, plan, clients=2, rate=40).start() as load:
            self.machine.systemctl("stop", "servers")
            wait_for(lambda: wanted <= self.alerts("firing"), 60, lambda: f"alerts: {self.alerts('firing')}")
            said = self.machine.run("upstat", "explain", next(iter(self.traefik.listed_services())))
            assert "connections fail to " in said and load.statuses()[-1] == 502
            self.machine.systemctl("start", "servers")
            wait_for(lambda: not self.alerts("firing"), 60, lambda: f"alerts: {self.alerts('firing')}")
            load.stop()
        self.tell("outage", said.splitlines()[0])

    def api_off(self):
        self.traefik.api = False
        self.traefik.write_static()
        self.machine.systemctl("restart", "traefik")
        self.begin_anew()
        samples = self.agent.samples()
        assert total(samples, "upstat_traefiks", state="counted") == 1 and total(samples, "upstat_backends") == 0
        said = self.machine.run("upstat", "status")
        assert "problem" in said
        self.tell("API off", re.search(r"problem:? *(.*)", said)[1])

    def rename(self):
        old = self.machine.run("cat", "/proc/sys/kernel/hostname").strip()
        self.machine.run("sh", "-c", "echo renamed >/proc/sys/kernel/hostname")
        line = f"this host is called renamed now: what is pushed and sent goes on under the name {old}"
        wait_for(lambda: line in self.agent.log, 20, lambda: self.agent.log)
        self.tell("rename", line)

    def remove(self, before):
        self.machine.run("sh", "-ec", "; ".join(shown("Remove")))
        assert not list(self.machine.run("find", "/sys/fs/bpf", "-mindepth", "1", "-not", "-name", "*.debug").split()), "pins"
        left = {path for path in self.files() - before if not path.endswith(("boot.target", "/etc/systemd/system", "/etc/sysusers.d"))}
        assert not left, left
        assert self.machine.systemctl("is-active", "upstat", check=False).strip() == "inactive"
        assert self.machine.systemctl("show", "--property=LoadState", "--value", "upstat").strip() == "not-found"
        self.tell("remove", "no file, no pin, no unit")


def test_an_operators_story(stack, machine, servers, traefik, tmp_path, upstat_binary):
    story = Story(stack, machine, servers, traefik, tmp_path, upstat_binary)
    before = story.files()
    story.install()
    story.boot()
    story.reload()
    story.upgrade()
    story.outage()
    story.api_off()
    story.rename()
    story.remove(before)
