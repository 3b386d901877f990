# SPDX-License-Identifier: Apache-2.0
"""What is missing, broken, slow or wrong is said in a clear sentence, with the exit code of its kind; an agent that runs
goes on counting. Exit codes: 0 done, 1 failed at run time, 2 wrong use or configuration, 3 this host lacks something."""

import json
import os
import subprocess

import pytest

from parts import counts
from parts.api import Api, SilentPort
from parts.base import free_port, get, unique_name, wait_for
from parts.cgroup import Cgroup
from parts.exposition import select, total
from parts.load import Clients, Request, mix
from parts.monitoring import Alertmanager, Pushgateway
from parts.namespace import PidNamespace
from parts.rig import Rig
from parts.traefik import Traefik
from parts.upstat import BPFFS, Upstat, detach, spell

NOBODY = 65534


@pytest.fixture
def refused(upstat_binary, tmp_path):
    """refused(code, words, args) runs upstat, which must end by itself with that code and say a sentence with the words;
    returns what it said. Wrong use is found before anything is loaded; a refusal after that may leave maps for detach."""
    pin_path = BPFFS / unique_name()

    def run(code, words, args, prefix=()):
        defaults = {"--web.listen-address": f"127.0.0.1:{free_port()}", "--state.path": tmp_path / "state",
                    "--bpf.pin-path": pin_path}
        flags = spell({flag: value for flag, value in defaults.items() if flag not in args}) if args[0] == "run" else []
        said = subprocess.run([*prefix, str(upstat_binary), *map(str, args), *flags], capture_output=True, text=True, timeout=30,
                              stdin=subprocess.DEVNULL, check=False)
        assert said.returncode == code, f"exit {said.returncode}, not {code}:\n{said.stderr}"
        for word in words:
            assert word.lower() in said.stderr.lower(), f"{word!r} is not in:\n{said.stderr}"
        assert "terminate called" not in said.stderr
        assert len(said.stderr.splitlines()) <= 8, f"one sentence and what to do, not a flood:\n{said.stderr}"
        assert said.stdout == "", "data goes to stdout, and there is none"
        assert code != 2 or not pin_path.exists(), f"left behind: {sorted(pin_path.rglob('*'))}"
        return said.stderr

    yield run
    detach(upstat_binary, pin_path)
    assert not pin_path.exists()


def send(rig, count=300, seed=1):
    """Returns nginx's whole log after `count` more requests."""
    already = len(rig.nginx.rows())
    clients = Clients(rig.traefik.url, mix(rig.services, count, seed), clients=3)
    clients.run()
    rows = rig.nginx.wait_for_rows(already + count)
    assert len(rows) == already + count
    return rows


def running(stack, upstat):
    """Starts an agent that may never be ready."""
    stack.callback(upstat.stop)
    upstat.launch()
    upstat.process.ready_when(lambda: get(f"{upstat.url}/-/healthy"), 20, "upstat is healthy")
    return upstat


# --- flags, files, privileges -----------------------------------------------------------------------------------------

def test_unknown_flag(refused):
    refused(2, ["--poll.intervall"], ["run", "--poll.intervall", "5s"])


def test_unknown_command(refused):
    refused(2, ["dance"], ["dance"])


@pytest.mark.parametrize("flag, value", [("--poll.interval", "soon"), ("--poll.interval", "-5s"), ("--alert.threshold-percent", "x"),
                                         ("--alert.codes", "4("), ("--push.url", "not a url"), ("--web.listen-address", "nowhere")])
def test_value_that_makes_no_sense(refused, flag, value):
    refused(2, [flag.removeprefix("--").split(".")[-1]], ["run", flag, value])


@pytest.mark.parametrize("text, line, word", [
    ("poll:\n  interval: 5s\n  intervall: 6s\n", 3, "intervall"),
    ("poll:\n  interval: 5s\nalert: [\n", 4, ""),
    ("alert:\n  window: 3m\n  for: shortly\n", 3, "for"),
])
def test_mistake_in_the_file(refused, upstat_binary, tmp_path, text, line, word):
    file = tmp_path / "upstat.yml"
    file.write_text(text)
    said = refused(2, [f"{file}:", word], ["run", "--config.file", file])
    assert f"{file}:{line}" in said or f"{file}:{line - 1}" in said, said
    checked = subprocess.run([upstat_binary, "check-config", file], capture_output=True, text=True, timeout=30, check=False)
    assert checked.returncode == 2 and f"{file}:" in checked.stdout + checked.stderr


def test_file_that_is_not_there(refused):
    refused(2, ["/nonexistent/upstat.yml"], ["run", "--config.file", "/nonexistent/upstat.yml"])


def test_good_file(upstat_binary, tmp_path):
    file = tmp_path / "upstat.yml"
    file.write_text("poll:\n  interval: 5s\nalert:\n  window: 3m\n  for: 1m\n")
    subprocess.run([upstat_binary, "check-config", file], check=True, timeout=30)


def test_unprivileged_user(rig, refused, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, NOBODY, NOBODY)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    refused(3, ["root"], ["run", *spell(rig.flags()), "--state.path", state],
            prefix=["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all"])


def test_no_bpf_for_this_user_namespace(rig, refused):
    """Root without the host's capabilities, as in most containers."""
    refused(3, ["CAP_BPF"], ["run", *spell(rig.flags())], prefix=["unshare", "--user", "--map-root-user"])


def test_pin_path_outside_bpffs(rig, refused, tmp_path):
    refused(3, ["bpf", str(tmp_path)], ["run", *spell(rig.flags()), "--bpf.pin-path", tmp_path / "pins"])


def test_web_address_in_use(rig, refused):
    taken = rig.nginx.servers[0]
    refused(1, [taken], ["run", *spell(rig.flags()), "--web.listen-address", taken])


def test_detach_where_nothing_is_attached(upstat_binary, bpffs):
    subprocess.run([upstat_binary, "detach", "--bpf.pin-path", bpffs / unique_name()], check=True, timeout=30)


# --- which Traefik ----------------------------------------------------------------------------------------------------

def test_traefik_pid_that_is_nobody(refused):
    refused(1, ["4194303", "--traefik.pid"], ["run", "--traefik.pid", "4194303"])


def test_state_of_another_agent(rig, agent, refused):
    """With pins of its own, but with the same state, each would undo what the other has saved."""
    upstat = agent(rig)
    state = upstat.directory / "state"
    refused(1, [f"pid {upstat.process.pid}", str(state), "--state.path"], ["run", *spell(rig.flags()), "--state.path", state])


def test_a_window_of_one_poll(refused):
    refused(2, ["alert.window", "poll.interval"], ["run", "--poll.interval", "2m", "--alert.window", "3m"])


def test_a_cgroup_that_is_to_come(stack, upstat_binary, traefik_binary, tmp_path):
    """As a unit's is while it is stopped: the agent waits for it, counts from its first request on, and waits again."""
    rig = Rig(tmp_path, traefik_binary)
    upstat = Upstat(upstat_binary, tmp_path, {"--traefik.cgroup": rig.cgroup.path, "--traefik.api": rig.traefik.api_url})
    running(stack, upstat)
    wait_for(lambda: "is not there yet" in upstat.log, 10, lambda: f"a sentence in:\n{upstat.log}")
    for _ in range(2):
        with rig:
            upstat.wait_until_ready()
            upstat.wait_for_counts(counts.of_nginx(send(rig)))
        already = upstat.log.count("has ended")
        polls = total(upstat.samples(), "upstat_polls_total", result="success")
        wait_for(lambda: total(upstat.samples(), "upstat_polls_total", result="success") > polls + 3, 10, "some polls")
        assert upstat.log.count("has ended") <= already + 1


def test_a_neighbour_for_a_while(stack, upstat_binary, traefik_binary, tmp_path):
    """To an agent in a PID namespace of its own, a Traefik that shares its cgroup is not counted, which /-/ready tells; once
    it is alone, it is."""
    space = stack.enter_context(PidNamespace())
    upstat = Upstat(upstat_binary, tmp_path)
    upstat.process.command = space.inside(upstat.process.command)
    running(stack, upstat)
    upstat.wait_until_ready()
    rig = Rig(tmp_path, traefik_binary)
    rig.traefik.enter(space)
    stack.enter_context(rig.cgroup)
    stranger = subprocess.Popen(space.inside(rig.cgroup.inside(["sleep", "1000"])), start_new_session=True)
    stack.callback(lambda: (stranger.kill(), stranger.wait(10)))
    wait_for(rig.cgroup.pids, 10, "the stranger is in the cgroup")
    rig.cgroup.start = lambda: None
    stack.enter_context(rig)
    wait_for(lambda: "shares the cgroup" in upstat.log, 10, lambda: upstat.log)
    wait_for(lambda: not upstat.ready(), 10, "the agent is not ready")
    for pid in rig.cgroup.pids():
        if b"sleep" in open(f"/proc/{pid}/cmdline", "rb").read():
            os.kill(pid, 9)
    wait_for(upstat.ready, 10, lambda: upstat.log)
    upstat.wait_for_counts(counts.of_nginx(send(rig)))


def test_no_traefik_then_one(stack, upstat_binary, traefik_binary, tmp_path):
    """Without a Traefik the agent says so and waits for one, as a service started at boot has to."""
    space = stack.enter_context(PidNamespace())
    upstat = Upstat(upstat_binary, tmp_path)
    upstat.process.command = space.inside(upstat.process.command)
    running(stack, upstat)
    wait_for(lambda: "no traefik" in upstat.log.lower(), 10, lambda: f"a sentence in:\n{upstat.log}")

    rig = Rig(tmp_path, traefik_binary)
    rig.traefik.enter(space)
    stack.enter_context(rig)
    upstat.wait_until_ready()
    upstat.wait_for_counts(counts.of_nginx(send(rig)))


def test_two_traefiks(rig, stack, agent, traefik_binary, tmp_path):
    """The one that was named is counted, and only that one."""
    other = Traefik(traefik_binary, tmp_path, stack.enter_context(Cgroup()), rig.traefik.services, name="other")
    stack.enter_context(other)
    upstat = agent(rig)
    rows = send(rig)
    Clients(other.url, [Request("/four/status/404")] * 100).run()
    rig.nginx.wait_for_rows(len(rows) + 100)
    rows_after = len(rows) + 100
    last = send(rig)[rows_after:]
    upstat.wait_for_counts(counts.of_nginx(rows) + counts.of_nginx(last))


def test_two_traefiks_and_none_named(stack, upstat_binary, traefik_binary, tmp_path):
    """Both are found, and counted in the same series."""
    space = stack.enter_context(PidNamespace())
    rig = Rig(tmp_path, traefik_binary)
    rig.traefik.enter(space)
    stack.enter_context(rig)
    other = Traefik(traefik_binary, tmp_path, stack.enter_context(Cgroup()), rig.traefik.services, name="other")
    other.enter(space)
    stack.enter_context(other)
    upstat = Upstat(upstat_binary, tmp_path)
    upstat.process.command = space.inside(upstat.process.command)
    stack.enter_context(upstat)

    rows = send(rig)
    Clients(other.url, mix(rig.services, 300, seed=2), clients=3).run()
    rows = rig.nginx.wait_for_rows(len(rows) + 300)
    upstat.wait_for_counts(counts.of_nginx(rows))
    upstat.wait_for_counts(counts.by_service(counts.of_nginx(rows), rig.traefik.listed_services()), upstat.backend_counts)


@pytest.mark.parametrize("named_by", ["pid", "cgroup"])
def test_traefik_comes_back_in_a_new_cgroup(rig, agent, named_by):
    """As `systemctl restart` does it: same name, other inode. Clients ask all the time, so that the first answer of the
    new Traefik comes as early as can be; the poll is far too slow to be there before it."""
    upstat = agent(rig, {"--poll.interval": "3s"}, named_by=named_by)
    rows = send(rig)
    for round_ in range(2):
        rig.traefik.kill()
        rig.cgroup.stop()
        rig.cgroup.start()
        # From the moment it listens until its configuration is there it answers 404 by itself; no server sees those.
        with Clients(rig.traefik.url, [Request("/both/status/200")] * 200_000, clients=2).start() as eager:
            rig.traefik.start()
            wait_for(lambda: eager.statuses().count(200) > 300, 30, "answers of the new Traefik")
        rows = rig.nginx.wait_for_rows(len(rows) + eager.statuses().count(200))
        upstat.wait_for_counts(counts.of_nginx(rows))
        rows = send(rig, seed=round_)
        upstat.wait_for_counts(counts.of_nginx(rows))
    upstat.wait_for_counts(counts.by_service(counts.of_nginx(rows), rig.traefik.listed_services()), upstat.backend_counts)


# --- Traefik's API ----------------------------------------------------------------------------------------------------

@pytest.mark.slow
def test_api_off(stack, upstat_binary, traefik_binary, tmp_path):
    rig = stack.enter_context(Rig(tmp_path, traefik_binary, api=False))
    upstat = running(stack, Upstat(upstat_binary, tmp_path, rig.flags()))
    rows = send(rig)
    # Servers are shown by their addresses after half a minute: the catalogue may be on the way.
    upstat.wait_for_counts(counts.of_nginx(rows), bound=90)
    upstat.wait_for_counts(counts.of_nginx(rows), upstat.backend_counts)
    assert "no backend is known" in upstat.log
    assert rig.traefik.api_url in upstat.log and "/api/rawdata" in upstat.log


def test_api_off_with_a_static_map(stack, upstat_binary, traefik_binary, tmp_path):
    rig = stack.enter_context(Rig(tmp_path, traefik_binary, api=False))
    file = tmp_path / "backends.yml"
    file.write_text(json.dumps({"backends": rig.traefik.services}))
    upstat = running(stack, Upstat(upstat_binary, tmp_path, {**rig.flags(), "--backends.file": file}))
    upstat.wait_until_ready()
    rows = send(rig)
    upstat.wait_for_counts(counts.of_nginx(rows))
    owners = {name: rig.traefik.servers_of(name) for name in rig.services}
    upstat.wait_for_counts(counts.by_service(counts.of_nginx(rows), owners), upstat.backend_counts)


@pytest.mark.parametrize("mode", ["html", "garbage", "list", "cut", "huge", "hang", 401, 500])
def test_api_that_misbehaves_and_recovers(rig, stack, upstat_binary, tmp_path, mode):
    api = stack.enter_context(Api(rig.traefik.api_url, mode))
    flags = {**rig.flags(), "--traefik.api": api.url}
    upstat = running(stack, Upstat(upstat_binary, tmp_path, flags))
    wait_for(lambda: api.asked, 20, "the API is asked")
    before = send(rig)
    upstat.settle()  # it polls on
    wait_for(lambda: api.url in upstat.log, 30, lambda: f"a sentence about {api.url} in:\n{upstat.log}")

    api.mode = "real"
    api.hung.set()
    upstat.wait_until_ready(bound=40)
    wait_for(lambda: select(upstat.samples(), "upstat_backend_server_info"), 40, "the catalogue is known")
    upstat.settle()
    known = upstat.backend_counts()
    rows = send(rig, seed=2)
    upstat.wait_for_counts(counts.of_nginx(rows))
    after = counts.by_service(counts.of_nginx(rows[len(before):]), rig.traefik.listed_services())
    upstat.wait_for_counts(known + after, upstat.backend_counts)


# --- receivers --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["down", "hanging"])
def test_receivers_that_do_not_answer(rig, stack, agent, how):
    url = f"http://127.0.0.1:{free_port()}" if how == "down" else stack.enter_context(SilentPort()).url
    upstat = agent(rig, {"--push.url": url, "--push.interval": "1s", "--alertmanager.url": url, "--alert.for": "0s",
                         "--alert.window": "5s"})
    rows = send(rig)  # with enough 4xx in it for an alert, so that Alertmanager is called too
    wait_for(lambda: upstat.alert("four@file")[0] == "firing", 10, "the agent's own alert fires")
    upstat.wait_for_counts(counts.of_nginx(rows))

    polls = total(upstat.samples(), "upstat_polls_total")
    wait_for(lambda: total(upstat.samples(), "upstat_polls_total") >= polls + 15, 10, "fifteen polls of 200 ms go on")
    wait_for(lambda: failures(upstat.samples(), "upstat_push_total"), 30, "failed pushes are counted")
    wait_for(lambda: failures(upstat.samples(), "upstat_alertmanager_notifications_total"), 30, "failed notifications are counted")
    upstat.wait_for_counts(counts.of_nginx(send(rig)))
    assert url in upstat.log


def failures(samples, name):
    return sum(sample.value for sample in select(samples, name) if sample.labels["result"] != "success")


def test_receivers_that_come_later(rig, stack, agent, tmp_path):
    gateway, manager = Pushgateway(tmp_path), Alertmanager(tmp_path)
    upstat = agent(rig, {"--push.url": gateway.url, "--push.interval": "1s", "--alertmanager.url": manager.url,
                         "--alert.for": "0s", "--alert.window": "60s"})
    rows = send(rig)
    wait_for(lambda: failures(upstat.samples(), "upstat_push_total"), 30, "a push has failed")
    stack.enter_context(gateway)
    stack.enter_context(manager)
    wanted = counts.by_service(counts.of_nginx(rows), rig.traefik.listed_services())
    upstat.wait_for_counts(wanted, lambda: counts.of_upstat_backends(gateway.samples()), bound=30)
    wait_for(manager.alerts, 90, "Alertmanager hears of the alert")


def test_clean_exit(rig, stack, agent, tmp_path):
    """SIGTERM: exit 0, the pushed group is deleted, counting goes on for the next start, and detach ends it."""
    gateway = stack.enter_context(Pushgateway(tmp_path))
    upstat = agent(rig, {"--push.url": gateway.url, "--push.interval": "1s"})
    send(rig)
    wait_for(lambda: counts.of_upstat_backends(gateway.samples()), 20, "pushed")
    assert upstat.process.stop() == 0
    assert not counts.of_upstat_backends(gateway.samples())
    rows = send(rig)
    upstat.start()
    upstat.wait_for_counts(counts.of_nginx(rows))
