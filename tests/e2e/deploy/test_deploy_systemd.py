# SPDX-License-Identifier: Apache-2.0
"""The unit of deploy/systemd on a Debian with systemd, beside a Traefik that is a unit too."""

import json
import re
from pathlib import Path
from shutil import which

import pytest

from conftest import TOP
from containers import Store
from host import Agent, root_tar, servers, traefik  # noqa: F401
from machine import InNetwork, Machine
from parts import counts
from parts.base import get, wait_for
from parts.exposition import select
from parts.load import Clients, Wrk, bulk_mix, mix

UNIT = TOP / "deploy/systemd/upstat.service"
EXAMPLE = TOP / "deploy/systemd/upstat.yml"
PLAN = 2000
BULK = 6000
CAPABILITIES = {"cap_dac_read_search", "cap_setgid", "cap_setuid", "cap_net_admin", "cap_sys_admin", "cap_sys_ptrace", "cap_perfmon",
                "cap_bpf"}


@pytest.fixture
def machine(stack, tmp_path, root_tar, upstat_binary, traefik_binary):
    tmp_path.chmod(0o755)  # Traefik is to read its files there as www-data
    store = stack.enter_context(Store())
    machine = stack.enter_context(Machine(store, root_tar, {
        tmp_path: tmp_path,
        upstat_binary: "/usr/local/bin/upstat:ro",
        Path(traefik_binary).resolve(): "/usr/local/bin/traefik:ro",
        which("nginx"): "/usr/sbin/nginx:ro",
    }))
    machine.write("/etc/systemd/system/upstat.service", UNIT.read_text())
    machine.write("/etc/upstat/upstat.yml", EXAMPLE.read_text())
    # The variables that a test needs, where an administrator would put them.
    machine.write("/etc/default/upstat", "UPSTAT_POLL_INTERVAL=200ms\nUPSTAT_LOG_LEVEL=debug\nUPSTAT_METRICS_ZERO_FOR=0\n")
    machine.systemctl("daemon-reload")
    stack.enter_context(InNetwork(machine.pid))
    return machine


def test_the_unit_and_the_example_are_sound(machine, tmp_path):
    assert machine.run("systemd-analyze", "verify", "/etc/systemd/system/upstat.service").strip() == ""
    machine.run("upstat", "check-config", "/etc/upstat/upstat.yml")
    # What the example shows commented out is valid too.
    shown = re.sub(r"(?m)^#((?:  +)?(?:- )?[a-z])", r"\1", EXAMPLE.read_text())
    for file in ("backends.yml", "ca.pem", "token", "web.yml", "traefik-password"):
        shown = shown.replace(f"file: /etc/upstat/{file}", f"file: {tmp_path}/{file}")
    assert "alertmanager:\n  url" in shown and "\ntraefik:\n  api: " in shown
    (tmp_path / "shown.yml").write_text(shown)
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "traefik-password").write_text("secret\n")
    (tmp_path / "web.yml").write_text("basic_auth_users: {}\n")
    (tmp_path / "backends.yml").write_text("backends:\n  shop: [http://127.0.0.1:8000]\n")
    assert machine.run("upstat", "check-config", tmp_path / "shown.yml") == ""


def test_counts_over_restarts_of_traefik_and_of_the_agent(stack, machine, servers, traefik, tmp_path, upstat_binary):
    agent = stack.enter_context(Agent(machine, upstat_binary, tmp_path))
    assert "system.slice/traefik.service" in agent.log
    sent = 0

    def expect(requests):
        """Servers and backends agree with nginx's log, to the last request."""
        rows = servers.wait_for_rows(requests)
        assert len(rows) == requests
        logged = counts.of_nginx(rows)
        agent.wait_for_counts(logged)
        agent.wait_for_counts(counts.by_service(logged, traefik.listed_services()), agent.backend_counts)

    Wrk(tmp_path, traefik.url, bulk_mix(traefik.services), each=BULK // 4, connections=4).run()
    Clients(traefik.url, mix(list(traefik.services), PLAN), clients=4).run()
    sent += BULK + PLAN
    expect(sent)

    # A new Traefik in a new cgroup, whose first request is already waiting for it.
    before = machine.main_pid("traefik")
    with Clients(traefik.url, mix(list(traefik.services), PLAN, seed=2), clients=3, rate=150).start() as load:
        wait_for(lambda: len(load.done) > 100, 30, "some load")
        machine.systemctl("restart", "traefik")
        back = len(load.done)
        wait_for(lambda: load.statuses()[back:].count(200) > 100, 60, "answers of the new Traefik")
        load.stop()
    assert machine.main_pid("traefik") != before
    sent = len(servers.rows())
    assert sent > BULK + PLAN + 200
    expect(sent)

    with Clients(traefik.url, mix(list(traefik.services), PLAN, seed=3), clients=3, rate=150).start() as load:
        wait_for(lambda: len(load.done) > 100, 30, "some load")
        machine.systemctl("restart", "upstat")
        agent.wait_until_ready()
        after = len(load.done)
        wait_for(lambda: len(load.done) > after + 100, 30, "more load")
        load.stop()
    assert 0 not in load.statuses()
    expect(sent + len(load.done))
    assert "adopted the programs" in agent.log


def test_it_speaks_to_systemd(stack, machine, servers, traefik, tmp_path, upstat_binary):
    agent = stack.enter_context(Agent(machine, upstat_binary, tmp_path))
    shown = machine.systemctl("show", "--property=WatchdogUSec,StatusText", "upstat")
    assert "WatchdogUSec=1min" in shown
    wait_for(lambda: "StatusText=Traefiks: 1, backends: 2, alerts that fire: 0" in
             machine.systemctl("show", "--property=StatusText", "upstat"), 20, "the status of a good poll")
    # The journal has the level as its own field, and no second time and level in the message.
    entries = [json.loads(line) for line in
               machine.run("journalctl", "--output=json", "--unit=upstat", "SYSLOG_IDENTIFIER=upstat").splitlines()]
    assert any(entry["MESSAGE"].startswith("metrics at http://") and entry["PRIORITY"] == "6" for entry in entries)
    assert not any("level=" in entry["MESSAGE"] for entry in entries)
    # So has a hint; who reads the message finds it below.
    machine.write("/etc/upstat/upstat.yml", "poll: {intervall: 5s}\n")
    machine.systemctl("reload", "upstat")

    def hinted():
        lines = machine.run("journalctl", "--output=json", "--unit=upstat", "UPSTAT_HINT=did you mean poll.interval?").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]
    entry, = wait_for(hinted, 20, "the hint of a mistake")
    assert entry["MESSAGE"].endswith("unknown key poll.intervall\nHINT: did you mean poll.interval?") and entry["PRIORITY"] == "3"
    machine.write("/etc/upstat/upstat.yml", EXAMPLE.read_text())
    # A loop that stands is ended, and started again.
    machine.systemctl("stop", "upstat")
    machine.write("/etc/systemd/system/upstat.service.d/watchdog.conf", "[Service]\nWatchdogSec=2\n")
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "upstat")
    pid = machine.main_pid("upstat")
    machine.systemctl("kill", "--signal=STOP", "upstat")
    wait_for(lambda: machine.main_pid("upstat") not in (0, pid), 30, "a new agent")
    agent.wait_until_ready()
    assert "Watchdog timeout" in machine.run("journalctl", "--no-pager", "--output=cat", "--unit=upstat")


def test_it_runs_with_no_more_than_its_capabilities(stack, machine, servers, traefik, tmp_path, upstat_binary):
    agent = stack.enter_context(Agent(machine, upstat_binary, tmp_path))
    status = machine.run("cat", f"/proc/{machine.main_pid('upstat')}/status")
    assert re.search(r"^NoNewPrivs:\t1$", status, re.M) and re.search(r"^Seccomp:\t2$", status, re.M)
    effective = int(re.search(r"^CapEff:\t(\w+)$", status, re.M)[1], 16)
    bits = {"cap_dac_read_search": 2, "cap_setgid": 6, "cap_setuid": 7, "cap_net_admin": 12, "cap_sys_ptrace": 19, "cap_sys_admin": 21,
            "cap_perfmon": 38, "cap_bpf": 39}
    assert effective == sum(1 << bits[name] for name in CAPABILITIES)
    assert "threads that read foreign bytes: user 65530, no capability, seccomp" in agent.log

    # It dies, and systemd brings it back; its state is where StateDirectory= says.
    machine.systemctl("kill", "--signal=KILL", "upstat")
    wait_for(lambda: machine.systemctl("show", "--property=NRestarts", "--value", "upstat").strip() == "1", 30, "a restart by systemd")
    agent.wait_until_ready()
    assert machine.run("ls", "/var/lib/upstat").split() == ["history.cbor", "state.json"]

    # A reload takes the file's new rule, and keeps what it has where the file is wrong.
    def reloaded():
        return [int(sample.value) for sample in select(agent.samples(), "upstat_config_last_reload_successful")]
    pid = machine.main_pid("upstat")
    machine.write("/etc/upstat/upstat.yml", "alert: {threshold-percent: 50}\n")
    machine.systemctl("reload", "upstat")
    wait_for(lambda: '"threshold_percent": 50.0' in get(f"{agent.url}/api/v1/alerts"), 20, "the new threshold")
    machine.write("/etc/upstat/upstat.yml", "alert: {threshold-percent: fifty}\n")
    machine.systemctl("reload", "upstat")
    wait_for(lambda: reloaded() == [0], 20, "the mistake")
    assert '"threshold_percent": 50.0' in get(f"{agent.url}/api/v1/alerts") and machine.main_pid("upstat") == pid

    # A wrong configuration will not be right the next time.
    machine.systemctl("stop", "upstat")
    machine.write("/etc/upstat/upstat.yml", "poll: {intervall: 5s}\n")
    machine.systemctl("start", "upstat", check=False)
    wait_for(lambda: machine.systemctl("is-active", "upstat", check=False).strip() == "failed", 20, "the unit has failed")
    assert "unknown key poll.intervall" in agent.log
