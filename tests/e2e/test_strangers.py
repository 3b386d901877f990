# SPDX-License-Identifier: Apache-2.0
"""An unprivileged user with a program called traefik changes nothing of what is counted and said of the real one."""

import json
import select as select_module
import socket

import pytest

from parts import counts
from parts.base import get, get_json, wait_for
from parts.exposition import select, total
from parts.load import Clients, Request
from parts.namespace import PidNamespace
from parts.rig import Rig
from parts.stranger import USER, Stranger
from parts.upstat import Upstat


def spoken(backends):
    """What Traefik's API would say."""
    return json.dumps({"services": {name: {"loadBalancer": {"servers": [{"url": url}]}} for name, url in backends.items()}})


@pytest.fixture
def space(stack):
    return stack.enter_context(PidNamespace())


@pytest.fixture
def beside(stack, upstat_binary, tmp_path, space):
    """beside(flags): an agent that sees the namespace's processes."""

    def start(flags=None):
        upstat = Upstat(upstat_binary, tmp_path, flags)
        upstat.process.command = space.inside(upstat.process.command)
        return stack.enter_context(upstat)

    return start


@pytest.fixture
def rig(stack, traefik_binary, tmp_path, space):
    rig = Rig(tmp_path, traefik_binary)
    rig.traefik.enter(space)
    return stack.enter_context(rig)


# What an unprivileged user tried in a review, each with success against 0.2.0. {server} is a server of the real Traefik,
# {secret} one that only root may ask.
TRIES = {
    "her API lists a real backend's name, and her own server there gives many a 200":
        {"deed": "talk", "body": spoken({"four@file": "http://127.9.0.1:1"})},
    "her API says that a real server is down":
        {"body": json.dumps({"services": {"four@file": {"loadBalancer": {"servers": [{"url": "http://{server}"}]},
                                                        "serverStatus": {"http://{server}": "DOWN"}}}})},
    "4 MB of YAML": {"arguments": ["--configFile=@HOME@/t.yml"], "files": {"t.yml": "x: [" + "a," * 2_000_000 + "a]\n"}},
    "300 processes in one cgroup": {"deed": "crowd"},
    "5,000 new names a poll": {"body": spoken({f"n{i}-@NOW@@file": "http://127.9.0.1:1" for i in range(5000)})},
    "a basePath with ? and #": {"arguments": ["--configFile=@HOME@/t.yml"], "files": {"t.yml": (
        "entryPoints: {traefik: {address: '{secret}'}}\napi: {insecure: true, basePath: '/latest/meta-data/iam?role=x#'}\n")}},
    "names that a terminal obeys": {"body": spoken({"te\x1b[31mRED\n@file": "http://127.9.0.1:1"}),
                                    "arguments": ["--entrypoints.traefik.address=127.0.0.1:@PORT@", "--api.basePath=/\x1b[31mRED"]},
    "400 codes of 40 addresses fill the totals": {"deed": "flood", "body": spoken({"hers@file": "http://127.9.0.1:1"})},
}


@pytest.mark.parametrize("name", TRIES)
def test_what_she_tries_changes_nothing(stack, rig, beside, space, tmp_path, name):
    secret = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=5))
    places = {"{server}": rig.nginx.servers[0], "{secret}": f"127.0.0.1:{secret.getsockname()[1]}"}
    hers = stack.enter_context(Stranger(tmp_path, space, **filled(TRIES[name], places)))
    upstat = beside({"--bpf.totals-size": 4096, "--alert.window": "10s", "--alert.for": "1s"})
    plan = [Request("/four/status/404"), *[Request("/four/status/200")] * 4, Request("/six/status/429")] * 1500
    load = stack.enter_context(Clients(rig.traefik.url, plan, clients=2, rate=60)).start()
    if TRIES[name].get("deed") in ("talk", "flood"):
        hers.wait_until_done()

    state, percent = wait_for(lambda: fires(upstat), 60, lambda: f"the alert of a real backend: {upstat.alert('four@file')}")
    assert state == "firing" and 15 < percent < 25, "her responses are no responses of it"
    load.stop()
    logged = counts.of_nginx(rig.nginx.wait_for_rows(len(load.done)))
    listed = rig.traefik.listed_services()
    upstat.wait_for_counts(counts.by_service(logged, listed), upstat.backend_counts)
    upstat.wait_for_counts(logged)  # a 429 that was not seen before finds room
    samples = upstat.samples()
    assert {sample.labels["backend"] for sample in select(samples, "traefik_backend_requests_total")} == set(listed)
    assert {sample.value for sample in select(samples, "traefik_backend_server_up")} == {1}

    upstat.settle()  # its polls go on
    assert total(upstat.samples(), "process_resident_memory_bytes") < 64 << 20
    assert not select_module.select([secret], [], [], 0)[0], "nobody asks for her"
    said = [upstat.log, upstat.ask("status"), get(f"{upstat.url}/"), upstat.ask("explain", "four@file")]
    assert not any("\x1b" in text for text in said)
    seen = [one for one in get_json(f"{upstat.url}/api/v1/status")["traefiks"] if not one["attached"]]
    assert {one["cgroup"] for one in seen} == {str(hers.cgroup.path)}, "she is shown, and not counted"


def filled(value, places):
    """`value` with each place's name replaced."""
    if isinstance(value, dict):
        return {key: filled(one, places) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, places) for one in value]
    for place, text in places.items():
        value = value.replace(place, text)
    return value


def fires(upstat):
    state, percent = upstat.alert("four@file")
    return (state, percent) if state == "firing" else None


def test_she_is_told_and_how_she_would_be_counted(stack, rig, beside, space, tmp_path):
    stack.enter_context(Stranger(tmp_path, space))
    upstat = beside()
    said = upstat.ask("status")
    assert "NOT COUNTED" in said and f"of user {USER} is not counted" in said
    assert f"--traefik.allow=system,containers,{USER}" in said
    assert upstat.log.count(f"of user {USER} is not counted") == 1


def test_her_traefik_alone_stops_no_start(stack, beside, space, tmp_path):
    """The agent waits for a real one, as if hers was not there."""
    stack.enter_context(Stranger(tmp_path, space))
    assert "no Traefik runs on this host" in beside().log


def test_she_is_counted_where_she_is_allowed(stack, beside, space, tmp_path):
    """By name: her perl is no Traefik by its build information, so --traefik.allow alone does not do."""
    hers = stack.enter_context(Stranger(tmp_path, space, body=spoken({"hers@file": "http://127.0.0.1:2"})))
    upstat = beside({"--traefik.cgroup": hers.cgroup.path})
    wait_for(lambda: select(upstat.samples(), "upstat_backend_server_info", backend="hers@file"), 10, lambda: upstat.log)
