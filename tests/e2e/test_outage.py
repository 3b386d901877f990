# SPDX-License-Identifier: Apache-2.0
"""Requests that have no response, judged by the agent and by the shipped rules in a real Prometheus: both see the same."""

import pytest

from parts.base import get_json, wait_for
from parts.exposition import total
from parts.load import Clients, Request
from parts.monitoring import Prometheus
from parts.upstat import RULE
from test_gateway import shipped_rules

CONNECTS, UNANSWERED = "UpstatBackendConnectFailures", "UpstatBackendUnanswered"
FLAGS = {"--alert.window": "10s", "--alert.for": "1s"}


class Judges:
    """The agent and Prometheus, each asked which backends an alert fires for."""

    def __init__(self, stack, directory, upstat):
        self.upstat = upstat
        self.prometheus = stack.enter_context(Prometheus(directory, [upstat.address], [shipped_rules(directory)]))

    def firing(self, name):
        """(of the agent, of Prometheus): backend -> percent."""
        own = {alert["backend"]: alert["percent"] for alert in get_json(f"{self.upstat.url}/api/v1/alerts")["alerts"]
               if (alert["alert"], alert["state"]) == (name, "firing")}
        others = {alert["labels"]["backend"]: float(alert["value"]) for alert in self.prometheus.alerts()
                  if (alert["labels"]["alertname"], alert["state"]) == (name, "firing")}
        return own, others

    def agree(self, name, backends, bound=60):
        wait_for(lambda: all(set(one) == set(backends) for one in self.firing(name)), bound,
                 lambda: f"{name} fires for {backends}: {self.firing(name)}")
        return self.firing(name)


@pytest.fixture
def judges(stack, tmp_path, rig, agent):
    return Judges(stack, tmp_path, agent(rig, FLAGS))


def loaded(stack, rig, *paths):
    """Steady load on these paths until the stack is left."""
    return stack.enter_context(Clients(rig.traefik.url, [Request(path) for path in paths] * 4000, clients=2, rate=40)).start()


def test_all_servers_refuse(stack, rig, judges):
    load = loaded(stack, rig, "/four/status/404", "/four/status/200", "/both/status/200")
    judges.agree(RULE, {"four@file"})
    rig.nginx.stop()
    judges.agree(CONNECTS, {"four@file", "both@file"})
    wait_for(lambda: load.statuses()[-10:] == [502] * 10, 30, "clients get 502")
    wait_for(lambda: not any(judges.firing(RULE)), 60, "the stock alert ends for want of responses")
    wait_for(lambda: all(min(one.values()) == 100 for one in judges.firing(CONNECTS)), 60, "nothing else is in the window")
    said = judges.upstat.ask("explain", "four@file")
    assert said.startswith(f"four@file: connections fail to 1 of 1 servers: {rig.nginx.servers[0]}: ") and " refused in the last " in said
    assert f"{CONNECTS} is firing since " in said and "no responses for " in said
    assert not any(judges.firing(UNANSWERED))
    rig.nginx.start()
    judges.agree(CONNECTS, set())


def test_servers_close_instead_of_a_response(stack, rig, judges):
    loaded(stack, rig, *["/four/status/200"] * 3, "/four/close", "/six/status/200")
    judges.agree(UNANSWERED, {"four@file"})
    # Traefik asks again where a kept connection is closed: a fourth of the requests is more than a fourth of what servers see.
    wait_for(lambda: all(20 < one["four@file"] < 60 for one in judges.firing(UNANSWERED)), 60, lambda: judges.firing(UNANSWERED))
    assert not any(judges.firing(CONNECTS))
    assert "requests stay without a response on 1 of 1 servers: " in judges.upstat.ask("explain", "four@file")


def test_each_can_be_turned_off(stack, rig, agent):
    upstat = agent(rig, FLAGS | {"--alert.connect-failures-percent": "100"})
    load = loaded(stack, rig, "/four/status/200")
    wait_for(lambda: total(upstat.samples(), "upstat_server_responses_total") > 5, 30, "some responses")
    rig.nginx.stop()
    wait_for(lambda: total(upstat.samples(), "upstat_server_connect_failures_total") > 50, 60, "failed connects")
    load.stop()
    rules = [rule["name"] for rule in get_json(f"{upstat.url}/api/v1/alerts")["rules"]]
    assert rules == [RULE, UNANSWERED]


def test_no_backend_is_known(stack, rig, agent, tmp_path):
    upstat = agent(rig, {"--traefik.api": "http://127.0.0.1:1"})
    prometheus = stack.enter_context(Prometheus(tmp_path, [upstat.address], [shipped_rules(tmp_path)]))
    loaded(stack, rig, "/four/status/404")
    wait_for(lambda: [one for one in prometheus.alerts() if (one["labels"]["alertname"], one["state"]) == ("UpstatNoBackends", "firing")],  # "unmapped" is told after a minute
             180, lambda: f"UpstatNoBackends: {prometheus.alerts()}")
