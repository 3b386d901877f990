# SPDX-License-Identifier: Apache-2.0
"""Which thread of a running agent may do what."""

import base64
import http.client
from pathlib import Path

import pytest

from agents import OWN
from parts.base import wait_for
from parts.cgroup import Cgroup
from parts.upstat import Upstat
from test_detach import NEEDED, bpffs, with_only  # noqa: F401 (a fixture)

NO_CAPABILITY = "0" * 16
# bcrypt of "secret", at the least cost
USERS = 'basic_auth_users:\n  me: "$2b$04$6QpVUvcaqtCIqmIH5Yzo0.fCCv8kcwvrJfOHHp9bEZ8N2mvEFoUQG"\n'


@pytest.fixture
def agent(stack, bpffs, tmp_path):  # noqa: F811
    """Of a host with a Traefik's cgroup and a server that has to be looked up, for users with a password."""
    cgroup = stack.enter_context(Cgroup())
    (tmp_path / "web.yml").write_text(USERS)
    (tmp_path / "backends.yml").write_text("backends:\n  shop: [http://localhost.localdomain:80]\n")
    agent = Upstat(OWN, tmp_path, {"--traefik.cgroup": cgroup.path, "--web.config.file": tmp_path / "web.yml",
                                   "--backends.file": tmp_path / "backends.yml"}, pin_path=bpffs / "upstat")
    stack.callback(agent.stop)
    return agent


def threads(pid):
    """Of each thread by its name: /proc/PID/task/TID/status, line by line."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        found[lines["Name"] if int(task.name) != pid else "loop"] = lines
    return found


def started(agent):
    agent.launch()
    wait_for(lambda: "metrics at" in agent.log, 30, lambda: agent.log)
    connection = http.client.HTTPConnection(agent.address, timeout=30)
    connection.request("GET", "/", headers={"Authorization": "Basic " + base64.b64encode(b"me:wrong").decode()})
    assert connection.getresponse().status == 401


def test_threads_that_read_foreign_bytes_may_do_nothing(agent):
    started(agent)
    found = threads(agent.process.pid)
    for name, lines in found.items():
        print(name, {key: lines[key] for key in ("Uid", "Gid", "CapEff", "NoNewPrivs", "Seccomp")})
    assert {"web", "passwords", "http", "catalogues"} <= found.keys()
    loop = found.pop("loop")
    assert loop["Uid"].split() == ["0"] * 4 and loop["CapEff"] != NO_CAPABILITY
    for name, lines in found.items():
        assert {lines[key] for key in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {NO_CAPABILITY}, name
        assert lines["NoNewPrivs"] == "1" and lines["Seccomp"] == "2", name
        assert len(set(lines["Uid"].split())) == 1 and lines["Uid"].split()[0] != "0", name
        assert len(set(lines["Gid"].split())) == 1 and lines["Gid"].split()[0] != "0", name


def test_without_the_right_to_change_users_they_keep_theirs_and_nothing_else(agent):
    agent.process.command = [*with_only(NEEDED), *agent.process.command]
    started(agent)
    found = threads(agent.process.pid)
    found.pop("loop")
    for name, lines in found.items():
        assert lines["Uid"].split() == ["0"] * 4, name
        assert {lines[key] for key in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {NO_CAPABILITY}, name
        assert lines["NoNewPrivs"] == "1" and lines["Seccomp"] == "2", name
    assert "they keep group 0 (Operation not permitted), user 0" in agent.log
