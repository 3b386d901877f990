# SPDX-License-Identifier: Apache-2.0
"""`upstat sockets` of a real Traefik's connections: as nginx has logged each by its port; those that wait, and those that are gone."""

import json
import socket
import subprocess
from collections import Counter
from urllib.parse import urlsplit

import pytest

from parts.base import get_json, wait_for
from parts.load import Clients, Request
from parts.upstat import Upstat

MIX = [Request(f"/both/status/{code}") for code in (200, 204, 301, 404, 404, 503)]


def sockets_of(upstat, backend):
    return json.loads(upstat.ask("sockets", backend, "--output=json"))["sockets"]


def known(upstat):
    return "both@file" in get_json(f"{upstat.url}/api/v1/backends")["backends"]


def logged(rows):
    """(server, port) -> class -> responses."""
    connections = {}
    for row in rows:
        connections.setdefault((row.server, row.port), Counter())[f"{row.code // 100}xx"] += 1
    return connections


def shown(sockets):
    """The same. One on which nothing was sent is left out: two requests at once make Traefik open more than it needs."""
    return {(one["server"], one["local_port"]): Counter({name: count for name, count in one["responses"].items() if count})
            for one in sockets if any(one["responses"].values())}


def send(rig, *requests, clients=1):
    Clients(rig.traefik.url, list(requests), clients=clients).run()


def test_each_connection_is_as_the_server_logged_it(rig, agent, stack):
    send(rig, Request("/six/status/200"))
    upstat = agent(rig)
    wait_for(lambda: known(upstat), 20, "the backends are known")
    send(rig, Request("/six/status/404"))
    send(rig, *MIX * 50, clients=4)
    rows = [row for row in rig.nginx.wait_for_rows(302) if row.server in rig.nginx.servers[2:]]
    expected = logged(rows)
    assert len(rows) == 300 and len(expected) >= 2
    wait_for(lambda: shown(sockets_of(upstat, "both@file")) == expected, 20,
             lambda: f"{expected}, not {sockets_of(upstat, 'both@file')}")
    both = sockets_of(upstat, "both@file")
    assert {(one["state"], one["joined"], *one["backends"]) for one in both} == {("idle", False, "both@file")}
    assert both == sorted(both, key=lambda one: (-one["responses"]["5xx"], -one["responses"]["4xx"]))
    older = wait_for(lambda: sockets_of(upstat, "six@file"), 20, "the connection that is older than the agent")
    assert [(one["responses"]["4xx"], one["responses"]["2xx"], one["joined"]) for one in older] == [(1, 0, True)]

    client = stack.enter_context(socket.create_connection((urlsplit(rig.traefik.url).hostname, urlsplit(rig.traefik.url).port)))
    client.sendall(b"GET /four/hang HTTP/1.1\r\nHost: x\r\n\r\n")

    def waiting():
        return [one for one in sockets_of(upstat, "four@file") if one["state"] == "waiting" and one["seconds"] > 0.5]
    one = wait_for(waiting, 20, "a request is shown to wait")[0]
    assert one["server"] == rig.nginx.servers[0] and one["seconds"] <= one["age_seconds"] + 0.5
    assert upstat.ask("sockets", "four@file").startswith("four@file: 1 connection: 1 waiting\n")

    rig.nginx.stop()
    wait_for(lambda: not sockets_of(upstat, "both@file"), 20, "what is closed is gone")


@pytest.fixture
def without_types(tmp_path, upstat_binary):
    """An upstat on a kernel that says nothing of its own types."""
    wrapper = tmp_path / "upstat-without-types"
    wrapper.write_text("#!/bin/sh\nexec unshare --mount sh -c 'mount -t tmpfs none /sys/kernel/btf && exec \"$0\" \"$@\"' "
                       f"{upstat_binary} \"$@\"\n")
    wrapper.chmod(0o755)
    return wrapper


def test_where_the_kernel_does_not_show_them_all_else_goes_on(rig, stack, tmp_path, without_types):
    upstat = stack.enter_context(Upstat(without_types, tmp_path, rig.flags()))
    wait_for(lambda: known(upstat), 20, "the backends are known")
    send(rig, *MIX)
    wait_for(lambda: sum(get_json(f"{upstat.url}/api/v1/backends")["backends"]["both@file"]["codes"].values()) == len(MIX), 20,
             "all are counted")
    asked = subprocess.run([without_types, "sockets", "--web.listen-address", upstat.address], capture_output=True, text=True,
                           check=False, timeout=30)
    assert asked.returncode == 3 and asked.stdout == ""
    assert asked.stderr.startswith("upstat: this kernel does not show its sockets ("), asked.stderr
