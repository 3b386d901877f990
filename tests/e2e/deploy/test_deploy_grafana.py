# SPDX-License-Identifier: Apache-2.0
"""The dashboard of deploy/grafana: every query is run in a real Prometheus that holds an agent's series."""

import json
import re
import shutil

from conftest import TOP
from containers import command
from parts.base import wait_for
from parts.load import Clients, Request
from parts.monitoring import Prometheus

GRAFANA = TOP / "deploy/grafana"


def dashboard():
    return json.loads((GRAFANA / "upstat.json").read_text())


def queries():
    """(panel, query) with the dashboard's variables at All."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"].replace("$__rate_interval", "30s")
            yield panel["title"], target["legendFormat"], re.sub(r"\$(job|instance|backend)\b", ".*", query)


def test_it_is_what_its_source_makes(tmp_path):
    shutil.copy(GRAFANA / "make-dashboard", tmp_path)
    command([tmp_path / "make-dashboard"])
    assert (tmp_path / "upstat.json").read_text() == (GRAFANA / "upstat.json").read_text()


def test_nothing_lies_upon_another():
    places = [(panel["title"], panel["gridPos"]) for panel in dashboard()["panels"]]
    cells = [(x, y) for _, place in places for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24
    numbers = [panel["id"] for panel in dashboard()["panels"]]
    assert len(numbers) == len(set(numbers))


def test_each_query_finds_series(stack, rig, agent, tmp_path):
    """With responses of all classes, a server that closes, and one that refuses."""
    upstat = agent(rig, {"--alert.window": "10s"})
    prometheus = stack.enter_context(Prometheus(tmp_path, [upstat.address], scrape={"honor_labels": False}))
    paths = ["/four/status/200", "/four/status/404", "/six/status/500", "/both/close"]
    stack.enter_context(Clients(rig.traefik.url, [Request(path) for path in paths] * 3000, clients=2, rate=40)).start()

    def empty():
        return [(title, query) for title, _, query in queries() if not prometheus.query(query)]
    never = {"Skips and failures of the kernel programs"}  # it has lines only where something is wrong
    wait_for(lambda: {title for title, _ in empty()} <= never | {"Connects that failed", "Requests without a response"}, 60, lambda: f"without series: {empty()}")
    rig.nginx.stop()
    wait_for(lambda: {title for title, _ in empty()} <= never, 60, lambda: f"without series: {empty()}")
    # Each line has a name of its own.
    for title, legend, query in queries():
        rows = prometheus.query(query)
        names = [re.sub(r"{{(\w+)}}", lambda label: row["metric"][label[1]], legend) for row in rows]
        assert len(names) == len(set(names)), title
    shares = {row["metric"]["backend"]: float(row["value"][1]) for row in prometheus.query(
        next(query for title, _, query in queries() if title == "4xx"))}
    assert "four@file" in shares
