# SPDX-License-Identifier: Apache-2.0
"""The alert rule of the seed page, byte for byte, in real Prometheis and in the agent; its three minutes and its one
minute are real. After the errors end, a wave of good answers brings the ratio down before the window has forgotten."""

import pytest

from conftest import DATA
from parts.base import wait_for
from parts.load import Clients, Request, Wrk
from parts.monitoring import Alertmanager, Prometheus, Pushgateway, Webhook
from parts.rule import NAME, StateWatch, states_in

STEP = 0.5  # seconds: the agent's poll, Prometheus's scrape and its evaluation, each
PUSH = 1.0
NOTICE = 0.5  # how late a watch on this machine may notice a change
BACKEND = "both@file"
STORY = ["inactive", "pending", "firing", "inactive"]


@pytest.mark.slow
def test_the_seed_rule_fires_and_resolves_everywhere(rig, agent, stack, tmp_path):
    hook = stack.enter_context(Webhook())
    alertmanager = stack.enter_context(Alertmanager(tmp_path, hook.url))
    gateway = stack.enter_context(Pushgateway(tmp_path))
    upstat = agent(rig, {"--poll.interval": f"{int(STEP * 1000)}ms", "--push.url": gateway.url, "--push.interval": f"{int(PUSH)}s",
                         "--alertmanager.url": alertmanager.url})
    rules = DATA / "seed_rule.yml"  # test_rule_oracle.py holds its bytes against the page's
    scraping = stack.enter_context(Prometheus(tmp_path, [upstat.address], [rules], name="prometheus-scraping"))
    pushed = stack.enter_context(Prometheus(tmp_path, [gateway.address], [rules], name="prometheus-pushed"))
    assert scraping.rule(NAME)["duration"] == 60 and "[3m]" in scraping.rule(NAME)["query"]

    healthy = [Request(f"/{service}/bytes/100") for service in rig.services]
    bad = rig.nginx.servers[2]
    observers = {
        "agent": lambda: upstat.alert(BACKEND)[0],
        "scraping": lambda: states_in(scraping).get(BACKEND, "inactive"),
        "pushed": lambda: states_in(pushed).get(BACKEND, "inactive"),
    }

    def all_are(state):
        return lambda: all(states[-1:] == [state] for states in map(watch.states, observers))

    def story():
        return f"everyone's story so far: {watch.changes}"

    load = stack.enter_context(Clients(rig.traefik.url, healthy * 5000, clients=3, rate=60))
    with StateWatch(observers) as watch:
        load.start()
        wait_for(lambda: len(load.done) > 600, 60, "ten seconds of healthy load")
        assert all_are("inactive")(), story()

        rig.nginx.turn_bad(bad)
        wait_for(all_are("firing"), 120, story)
        told = wait_for(lambda: [a for a in alertmanager.alerts() if a["labels"]["alertname"] == NAME], 15, "Alertmanager has the alert")
        rig.nginx.heal(bad)
        Wrk(tmp_path, rig.traefik.url, [Request("/both/bytes/100")], each=8000, connections=6).run()
        wait_for(all_are("inactive"), 60, story)
        wait_for(lambda: "resolved" in [alert["status"] for alert in hook.heard], 15, "Alertmanager tells of the end")

    # The same story everywhere, and the agent's at the same moments as Prometheus's.
    for name, more in (("scraping", 0), ("pushed", PUSH)):
        assert watch.states(name) == watch.states("agent") == STORY, story()
        for i in (1, 2, 3):
            assert abs(watch.at("agent", i) - watch.at(name, i)) <= 3 * STEP + more + NOTICE, f"{name}, {STORY[i]}: {story()}"
    for backend in ("four@file", "six@file"):
        assert upstat.alert(backend)[0] == "inactive"

    alert, = told
    assert alert["labels"] | {"backend": BACKEND, "severity": "critical"} == alert["labels"]
    assert not {"value", "percent", "ratio"} & set(alert["labels"]), "a value in a label makes each one another alert"
    assert "Traefik" in alert["annotations"]["summary"]
    assert "above 5%" in alert["annotations"]["description"]
    assert alert["annotations"]["runbook"].endswith(f"{NAME}.md")
    wait_for(lambda: not alertmanager.alerts(), 10, "Alertmanager's API shows no alert any more")
    assert [heard["status"] for heard in hook.heard] == ["firing", "resolved"]
    assert hook.heard[-1]["endsAt"] > hook.heard[-1]["startsAt"] == hook.heard[0]["startsAt"]
