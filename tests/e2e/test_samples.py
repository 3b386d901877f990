# SPDX-License-Identifier: Apache-2.0
"""`samples`: the paths of bad requests, and nothing else of them; without the setting there is no program that could read one."""

import json
import socket
import subprocess
from collections import Counter
from pathlib import Path

from parts.base import get_json, wait_for
from parts.load import Clients, Request

OURS = {"upstat_sample_e", "upstat_sample_i", "pending", "samples", "sampled", "sampling"}  # as the kernel cuts them
SECRET = "s3cr3t"


def text_of(file):
    try:
        return file.read_text()
    except FileNotFoundError:  # it was closed meanwhile
        return ""


def names_of(upstat):
    """The maps and programs that the agent holds."""
    ids = {"map": set(), "prog": set()}
    for info in Path(f"/proc/{upstat.process.pid}/fdinfo").iterdir():
        for line in text_of(info).splitlines():
            kind, _, number = line.partition("_id:")
            if kind in ids and number:
                ids[kind].add(int(number))
    return {one.get("name", "")[:15] for kind, numbers in ids.items()
            for one in json.loads(subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True, text=True, check=True).stdout)
            if one["id"] in numbers}


def attached(rig):
    said = subprocess.run(["bpftool", "cgroup", "show", rig.cgroup.path], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1][:15] for line in said.splitlines()[1:]}


def samples(upstat, backend):
    return get_json(f"{upstat.url}/api/v1/samples?backend={backend}%40file")


def send(rig, *requests):
    Clients(rig.traefik.url, list(requests), clients=1).run()


def raw(rig, payload):
    """Sent as it is; waits for the whole response."""
    host, port = rig.traefik.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(payload)
        while client.recv(65536):
            pass


def test_without_the_setting_nothing_is_there_that_could_keep_a_byte(rig, agent):
    upstat = agent(rig)
    send(rig, Request("/four/status/404"))
    wait_for(lambda: upstat.server_counts(), 20, "the response is counted")
    assert len(attached(rig)) == 3 and "totals" in names_of(upstat) and not OURS & (names_of(upstat) | attached(rig))
    assert samples(upstat, "four") | {"at": ""} == {"at": "", "on": False, "problem": "", "lost": 0, "total": 0, "paths": [],
                                                   "samples": []}


def test_bad_requests_have_their_paths_and_nothing_else(rig, agent):
    upstat = agent(rig, {"--samples": 5, "--alert.codes": "404|429"})
    wait_for(lambda: "four@file" in get_json(f"{upstat.url}/api/v1/backends")["backends"], 20, "the backends are known")
    assert OURS <= names_of(upstat) and len(attached(rig)) == 5
    # Bodies of several segments, one of which begins like a request whatever the head's length.
    for padding in range(8):
        raw(rig, (f"POST /four/read/404?{SECRET} HTTP/1.1\r\nHost: x\r\nAuthorization: {SECRET}\r\nX-Padding: {'x' * padding}\r\n"
                  "Connection: close\r\nContent-Length: 40000\r\n\r\n").encode() + b"GET /b? " * 5000)
    bodies = wait_for(lambda: (found := samples(upstat, "four"))["total"] == 5 and found, 20, "five samples")
    assert bodies["paths"] == [{"path": "/read/404", "count": 5}]
    long = "/status/404/" + "x" * 300
    # A server keeps its last five; what is good or a redirect is none.
    send(rig, *[Request("/four/status/404/old")] * 9, Request("/four/status/200"), Request("/four/status/301"))
    send(rig, Request(f"/four/status/404?token={SECRET}"), Request("/four/status/429", "HEAD"), Request("/four" + long))
    raw(rig, b"POST /four/read/404 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    send(rig, Request("/four/status/404?a"))
    rows = rig.nginx.wait_for_rows(24)
    assert len([row for row in rows if row.code in (404, 429)]) == 22
    last = Counter([("GET", 404, "/status/404", False), ("HEAD", 429, "/status/429", False), ("GET", 404, long[:127], True),
                    ("POST", 404, "/read/404", False), ("GET", 404, "/status/404", False)])

    def last_five():
        found = samples(upstat, "four")
        kept = Counter((one["method"], one["code"], one["path"], one["cut"]) for one in found["samples"])
        return found if kept == last else None

    shown = wait_for(last_five, 20, lambda: f"the last five: {samples(upstat, 'four')}")
    assert shown["paths"][0] == {"path": "/status/404", "count": 2} and shown["lost"] == 0
    assert {one["server"] for one in shown["samples"]} == {rig.nginx.servers[0]}
    assert samples(upstat, "six")["total"] == 0
    everything = json.dumps(get_json(f"{upstat.url}/api/v1/samples"))
    assert SECRET not in everything and "old" not in everything
    assert "2 of /status/404" in upstat.ask("explain", "four@file")
    upstat.wait_for_counts(Counter((row.server, row.code, row.method) for row in rows))
