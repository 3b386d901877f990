# SPDX-License-Identifier: Apache-2.0
"""/api/v1: every response is as deploy/openapi.yaml says, whatever the backends are called; the history's sums are the counts."""

import urllib.parse

import jsonschema
import pytest
import yaml

from conftest import TOP
from parts.base import get_json, status_of, wait_for
from parts.load import Clients, Request

DOCUMENT = yaml.safe_load((TOP / "deploy/openapi.yaml").read_text())


def check(path, value):
    """Fails with the place that is not as documented."""
    content = DOCUMENT["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    jsonschema.Draft202012Validator({**content["schema"], "components": DOCUMENT["components"]}).validate(value)


def ask(upstat, path, **query):
    value = get_json(f"{upstat.url}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else ""))
    check(path, value)
    return value


def total(series):
    return sum(sum(counts) for name, counts in series.items() if name[1:] == "xx")


def test_every_response_is_as_documented_and_the_history_holds_every_response(rig, agent, stack):
    upstat = agent(rig, {"--alert.window": "3s", "--alert.for": "0s"})
    wait_for(lambda: "both@file" in get_json(f"{upstat.url}/api/v1/backends")["backends"], 20, "the backends")
    requests = [Request("/both/status/404"), Request("/both/status/200"), Request("/four/status/500")] * 100
    load = stack.enter_context(Clients(rig.traefik.url, requests, clients=2, rate=200))
    load.start()
    wait_for(lambda: ask(upstat, "/api/v1/alerts") and upstat.alert("both@file")[0] == "firing", 20, "the alert fires")
    load.finish()

    def counted(backend):
        return sum(get_json(f"{upstat.url}/api/v1/backends")["backends"][backend]["codes"].values())

    wait_for(lambda: counted("both@file") == 200 and counted("four@file") == 100, 20, "all are counted")
    for path in DOCUMENT["paths"]:
        ask(upstat, path)
    both = ask(upstat, "/api/v1/history", backend="both@file")
    assert total(both["series"]) == 200
    assert sum(map(total, both["servers"].values())) == 200 and len(both["servers"]) == 2
    assert sum(both["series"]["4xx"]) == 100
    server = ask(upstat, "/api/v1/history", server=next(iter(both["servers"])))
    assert total(server["series"]) == total(both["servers"][server["server"]])
    assert total(ask(upstat, "/api/v1/history", backend="four@file", seconds=86400)["series"]) == 100
    events = ask(upstat, "/api/v1/events", backend="both@file")["events"]
    assert {"started", "firing"} <= {event["what"] for event in events}
    assert not [event for event in events if event["backend"] not in ("", "both@file")]


@pytest.mark.parametrize("query, status", [
    ("backend=nobody%40file", 404), ("server=10.9.9.9%3A80", 404), ("server=%00%3Cscript%3E", 404),
    ("seconds=0", 400), ("seconds=-1", 400), ("seconds=1e9", 400), ("seconds=86401", 400), ("backend=" + "x" * 5000, 404)])
def test_what_there_is_not_is_refused(rig, agent, query, status):
    upstat = agent(rig)
    wait_for(lambda: status_of(f"{upstat.url}/api/v1/history?{query}") == status, 10, f"{query} gives {status}")
    assert status_of(f"{upstat.url}/api/v1/history?nonsense=1") == 200


def test_the_history_goes_on_over_a_kill_and_an_end(rig, agent):
    upstat = agent(rig)
    wait_for(lambda: "both@file" in get_json(f"{upstat.url}/api/v1/backends")["backends"], 20, "the backends")
    sent = 0

    def send_and_see(count):
        nonlocal sent
        Clients(rig.traefik.url, [Request("/both/status/404")] * count, clients=1).run()
        sent += count
        wait_for(lambda: total(ask(upstat, "/api/v1/history", backend="both@file")["series"]) == sent, 20,
                 lambda: f"{sent} in {get_json(upstat.url + '/api/v1/history?backend=both%40file')}")

    send_and_see(10)
    upstat.kill()
    Clients(rig.traefik.url, [Request("/both/status/404")] * 5, clients=1).run()
    sent += 5
    upstat.start()
    send_and_see(10)
    upstat.process.stop()
    upstat.start()
    send_and_see(10)
    history = ask(upstat, "/api/v1/history", backend="both@file")
    assert sum(map(total, history["servers"].values())) == sent
    assert history["columns"]["begin"][1:] == history["columns"]["end"][:-1]
    started = [event["text"] for event in ask(upstat, "/api/v1/events")["events"] if event["what"] == "started"]
    assert len(started) == 3 and all("goes on" in text for text in started[:2])
