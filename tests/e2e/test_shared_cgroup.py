# SPDX-License-Identifier: Apache-2.0
"""A Traefik in a cgroup with other processes, which ask the same servers: only its own connections count."""

import subprocess
from pathlib import Path

import pytest

from parts import counts
from parts.base import wait_for
from parts.load import Clients, Request, mix
from parts.neighbour import PATH, Neighbour, split
from parts.rig import Rig
from parts.traefik import Traefik
from parts.upstat import Upstat


def wait_for_neighbours(rig, more=50):
    """Until the neighbours have had so many more responses."""
    have = len(split(rig.nginx.rows())[1])
    wait_for(lambda: len(split(rig.nginx.rows())[1]) >= have + more, 20, f"{more} more requests of a neighbour's")


def traefiks_rows(rig, count):
    """nginx's rows of what was sent through Traefik, once there are `count`."""
    wait_for(lambda: len(split(rig.nginx.rows())[0]) >= count, 20, f"{count} lines in nginx's log")
    rows = split(rig.nginx.rows())[0]
    assert len(rows) == count
    return rows


def send(rig, count=200):
    """Through Traefik, on new connections of its clients'; how many there were."""
    return len(Clients(rig.traefik.url, mix(rig.services, count), clients=4).run())


def restart(rig, upstat):
    """Of Traefik; until the agent has found the new process."""
    rig.traefik.kill()
    rig.traefik.start()
    wait_for(lambda: f"counting Traefik (pid {rig.traefik.pid})" in upstat.log, 20, lambda: upstat.log)


def hooks(upstat):
    """Of the links that it has pinned."""
    return sorted(link.name.split("-")[1] for link in upstat.pin_path.glob("*/links/*"))


def test_beside_neighbours(rig, agent, stack, traefik_binary, tmp_path):
    """On connections from before, with the agent killed in the middle, and after a restart of Traefik's. One neighbour is
    another Traefik, which was not named."""
    stack.enter_context(Neighbour(tmp_path, rig.cgroup, rig.nginx.servers))
    other = stack.enter_context(Traefik(traefik_binary, tmp_path, rig.cgroup, rig.traefik.services, name="other"))
    wait_for_neighbours(rig)
    with Clients(rig.traefik.url, mix(rig.services, 1500), clients=6).start() as clients:
        wait_for(lambda: len(clients.done) > 300, 60, "some of the load")
        clients.pause()
        before = traefiks_rows(rig, len(clients.done))

        upstat = agent(rig)
        assert "2 other processes" in upstat.log and "only its own connections count" in upstat.log
        assert "shares its cgroup with 2 other processes" in upstat.ask("status")
        wait_for_neighbours(rig)
        Clients(other.url, [Request(f"/{service}{PATH}") for service in rig.services] * 20, clients=2).run()

        clients.resume()
        wait_for(lambda: len(clients.done) > 700, 60, "half of the load")
        upstat.kill()
        wait_for(lambda: len(clients.done) > 1000, 60, "some of the load without an agent")
        upstat.start()
        clients.finish()
    after = traefiks_rows(rig, 1500)[len(before):]
    old = {row.connection for row in before}
    assert sum(row.connection in old for row in after) > len(after) / 10, "the connections from before are hardly used"
    upstat.wait_for_counts(counts.of_nginx(after))

    restart(rig, upstat)
    sent = send(rig)
    wait_for_neighbours(rig)
    upstat.wait_for_counts(counts.of_nginx(traefiks_rows(rig, 1500 + sent)[len(before):]))
    assert hooks(upstat) == ["egress", "ingress", "owners", "sockops"]


def test_a_neighbour_that_comes_later(rig, agent, stack, tmp_path):
    """The cgroup was Traefik's own when the agent came."""
    upstat = agent(rig)
    sent = send(rig)
    upstat.wait_for_counts(counts.of_nginx(traefiks_rows(rig, sent)))
    assert hooks(upstat) == ["egress", "ingress", "sockops"]

    quiet = subprocess.Popen(rig.cgroup.inside(["sleep", "1000"]), start_new_session=True)
    stack.callback(lambda: (quiet.kill(), quiet.wait(10)))
    wait_for(lambda: "only its own connections count" in upstat.log, 20, lambda: upstat.log)
    assert hooks(upstat) == ["egress", "ingress", "owners", "sockops"]
    stack.enter_context(Neighbour(tmp_path, rig.cgroup, rig.nginx.servers))
    wait_for_neighbours(rig)
    sent += send(rig)
    upstat.wait_for_counts(counts.of_nginx(traefiks_rows(rig, sent)))


def test_in_the_root_cgroup(agent, stack, traefik_binary, tmp_path):
    """Every process of this host without a cgroup of its own is a neighbour."""
    if "0::/\n" not in Path("/proc/self/cgroup").read_text():
        pytest.skip("this session is not in the root cgroup, so what it starts is not either")
    rig = Rig(tmp_path, traefik_binary)
    rig.traefik.leave_cgroup()
    stack.enter_context(rig)
    upstat = agent(rig)
    assert "every process without a cgroup of its own" in upstat.log
    stack.enter_context(Neighbour(tmp_path, None, rig.nginx.servers))
    wait_for_neighbours(rig)
    sent = send(rig)
    upstat.wait_for_counts(counts.of_nginx(traefiks_rows(rig, sent)))


def test_without_the_right_to_look_at_connections(rig, stack, upstat_binary, tmp_path):
    """Those from before are said not to count; new ones do. A process's first socket tells of it: no poll is near."""
    stack.enter_context(Neighbour(tmp_path, rig.cgroup, rig.nginx.servers))
    wait_for_neighbours(rig)
    before = send(rig, 50)
    upstat = Upstat(upstat_binary, tmp_path, {**rig.flags(), "--poll.interval": "60s"})
    upstat.process.command = ["setpriv", "--bounding-set", "-sys_ptrace", *upstat.process.command]
    stack.enter_context(upstat)
    assert "had before are not counted" in upstat.log and "CAP_SYS_PTRACE" in upstat.log
    assert "had before are not counted" in upstat.ask("status")
    restart(rig, upstat)
    rows = traefiks_rows(rig, before + send(rig))[before:]
    upstat.kill()
    upstat.process.command += ["--traefik.pid", str(rig.traefik.pid)]
    upstat.start()
    upstat.wait_for_counts(counts.of_nginx(rows))


def test_a_neighbour_with_traefiks_number(rig, agent, stack, tmp_path):
    """While no agent runs, Traefik ends and another process of its cgroup gets the same number."""
    quiet = subprocess.Popen(rig.cgroup.inside(["sleep", "1000"]), start_new_session=True)
    stack.callback(lambda: (quiet.kill(), quiet.wait(10)))
    upstat = agent(rig)
    sent = send(rig)
    counted = counts.of_nginx(traefiks_rows(rig, sent))
    upstat.wait_for_counts(counted)
    upstat.kill()
    number = rig.traefik.pid
    rig.traefik.kill()
    stack.enter_context(Neighbour(tmp_path, rig.cgroup, rig.nginx.servers, pid=number))
    wait_for_neighbours(rig)
    rig.traefik.start()
    upstat.process.command += ["--traefik.pid", str(rig.traefik.pid)]
    upstat.start()
    wait_for_neighbours(rig)
    upstat.wait_for_counts(counted)
