# SPDX-License-Identifier: Apache-2.0
"""What a real Alertmanager makes of the agent's messages, alone and beside a Prometheus that sends the same alert."""

import re
import socket
import subprocess
from urllib.parse import quote

import pytest
import yaml

from conftest import DATA
from parts.base import free_port, get_json, wait_for
from parts.exposition import select
from parts.load import Clients, Request
from parts.monitoring import Alertmanager, Prometheus, Webhook
from parts.rule import NAME
from parts.upstat import Upstat

BACKEND = "both@file"
WINDOW = {"--alert.window": "3s", "--alert.for": "0s"}
# 20 % are 4xx, 10 % are 5xx.
TURN = [Request("/both/bytes/100")] * 7 + [Request("/both/status/404")] * 2 + [Request("/both/status/500")]


@pytest.fixture
def alertmanager(stack, tmp_path):
    return stack.enter_context(Alertmanager(tmp_path))


@pytest.fixture
def trouble(stack, rig):
    """Load that makes the built-in rule hold for BACKEND, until the test ends."""
    clients = stack.enter_context(Clients(rig.traefik.url, TURN * 10_000, clients=2, rate=100))
    clients.start()
    return clients


def of(alertmanager, **labels):
    return [alert for alert in alertmanager.alerts() if labels.items() <= alert["labels"].items()]


def test_an_instance_of_any_name_is_taken(rig, stack, tmp_path, upstat_binary, alertmanager, trouble):
    """generatorURL was made of it, and what was no URL had every message refused with 422."""
    names = ["edge 1", "a%zz", "100%", "ü/1"]
    agents = {}
    for number, name in enumerate(names):
        port = free_port()
        agents[name] = stack.enter_context(
            Upstat(upstat_binary, tmp_path, {**rig.flags(), **WINDOW, "--push.instance": name, "--web.listen-address": f":{port}",
                                             "--alertmanager.url": alertmanager.url},
                   name=f"upstat-{number}", address=f"127.0.0.1:{port}"))
    for name, agent in agents.items():
        told, = wait_for(lambda name=name: of(alertmanager, instance=name), 20, f"Alertmanager has the alert of {name}")
        port = agent.address.rpartition(":")[2]
        assert told["generatorURL"].startswith(f"http://{socket.gethostname()}:{port}/?alert=")
        assert "422" not in agent.log


def test_prometheus_and_the_agent_send_one_alert(rig, stack, tmp_path, agent, alertmanager, trouble):
    """Without `instance` the agent's alert has the labels of the stock rule's."""
    group, = yaml.safe_load((DATA / "seed_rule.yml").read_text())["groups"]
    rule, = group["rules"]
    rule |= {"expr": rule["expr"].replace("[3m]", "[3s]"), "for": "0s"}
    rules = tmp_path / "rule.yml"
    rules.write_text(yaml.safe_dump({"groups": [group]}))
    upstat = agent(rig, {**WINDOW, "--alertmanager.url": alertmanager.url, "--alert.labels": ["instance=", "team=edge"],
                         "--web.external-url": "https://edge.test/upstat/"})
    # The labels that the agent is given, a Prometheus has as external ones.
    prometheus = stack.enter_context(Prometheus(tmp_path, [upstat.address], [rules], alertmanagers=[alertmanager.address],
                                                external_labels={"team": "edge"}))
    wait_for(lambda: of(alertmanager, backend=BACKEND), 20, "Alertmanager has the alert")
    wait_for(lambda: prometheus.value("prometheus_notifications_sent_total"), 20, "Prometheus has told it")

    def told_by_agent():
        return [sample.value for sample in select(upstat.samples(), "upstat_alertmanager_notifications_total", result="success")]

    wait_for(lambda: told_by_agent() > [0], 20, "the agent has told it")
    alert, = of(alertmanager, alertname=NAME, backend=BACKEND)
    assert alert["labels"] == {"alertname": NAME, "backend": BACKEND, "severity": "critical", "team": "edge"}


def test_what_stands_beside_an_alert_is_its_own(rig, stack, tmp_path, agent, alertmanager, trouble):
    settings = tmp_path / "upstat.yml"
    settings.write_text(yaml.safe_dump({"alert": {"rules": [
        {"name": "ServerErrors", "codes": "5..", "window": "3s", "for": "0s", "labels": {"severity": "warning", "team": "shop"},
         "annotations": {"runbook": "https://runbooks.test/5xx", "dashboard": "https://grafana.test/d/shop"}},
        {"name": "Silent", "codes": "5..", "window": "3s", "for": "0s", "min-rate": 5000}]}}))
    upstat = agent(rig, {**WINDOW, "--config.file": settings, "--alertmanager.url": alertmanager.url,
                         "--web.external-url": "https://edge.test/upstat/"})
    theirs, = wait_for(lambda: of(alertmanager, alertname="ServerErrors"), 20, "the 5xx alert")
    ours, = wait_for(lambda: of(alertmanager, alertname=NAME), 20, "the 4xx alert")
    for alert in (theirs, ours):
        labels = alert["labels"]
        assert alert["generatorURL"] == f"https://edge.test/upstat/?alert={labels['alertname']}&backend={quote(labels['backend'])}"
    assert (theirs["labels"]["severity"], theirs["labels"]["team"]) == ("warning", "shop")
    assert theirs["annotations"]["runbook"] == "https://runbooks.test/5xx"
    assert theirs["annotations"]["dashboard"] == "https://grafana.test/d/shop"
    assert "5xx error rate is above 5%" in theirs["annotations"]["description"]
    assert "responses with 500" in theirs["annotations"]["sentence"]
    assert ours["annotations"]["runbook"].endswith(f"{NAME}.md")
    assert "responses with 404" in ours["annotations"]["sentence"]

    def ratios():
        return {sample.labels["alert"]: sample.value
                for sample in select(upstat.samples(), "upstat_alert_ratio", backend=BACKEND)}

    # Full windows: the shares are those of the load, give or take where the window cuts it.
    shares = wait_for(lambda: (found := ratios()) and abs(found[NAME] - 0.2) < 0.05 and found, 20, ratios)
    assert abs(shares["ServerErrors"] - 0.1) < 0.05
    states = {alert["alert"]: alert["state"] for alert in get_json(f"{upstat.url}/api/v1/alerts")["alerts"]
              if alert["backend"] == BACKEND}
    assert states == {NAME: "firing", "ServerErrors": "firing", "Silent": "inactive"}, "100 a second are less than min-rate"


def test_an_outage_does_not_read_as_health(rig, stack, tmp_path, agent, trouble):
    """Without responses the rule has no ratio, and its alert resolves: at that moment all is down."""
    hook = stack.enter_context(Webhook())
    alertmanager = stack.enter_context(Alertmanager(tmp_path, hook.url))
    upstat = agent(rig, {**WINDOW, "--alertmanager.url": alertmanager.url})
    wait_for(lambda: upstat.alert(BACKEND)[0] == "firing", 20, "the alert fires")
    rig.nginx.stop()
    told = wait_for(lambda: [alert for alert in hook.heard if alert["status"] == "resolved"], 30, "the resolve is told")[-1]
    outage = r"no responses for \d+s(, \d+ .*)?, \d+ connects( a second)? refused"
    assert re.search(f"is resolved for backend {BACKEND}: {outage}", told["annotations"]["sentence"])
    assert re.search(f"is resolved for backend {BACKEND}: {outage}", upstat.log)
    for command in (["top"], ["explain", BACKEND]):
        said = subprocess.run([upstat.binary, *command, "--web.listen-address", upstat.address], capture_output=True, text=True,
                              timeout=30, check=True).stdout
        assert re.search(outage, said), said
    assert re.search(outage, get_json(f"{upstat.url}/api/v1/backends")["backends"][BACKEND]["outage"])
