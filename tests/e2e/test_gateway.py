# SPDX-License-Identifier: Apache-2.0
"""A real Pushgateway and the shipped scrape configurations and rules: an agent that is scraped and pushes, a push that
has stopped, and two agents of one name."""

import re
import subprocess

import yaml

from conftest import TOP
from parts.base import wait_for
from parts.exposition import select, total
from parts.load import Clients, Request
from parts.monitoring import Prometheus, Pushgateway
from parts.upstat import Upstat

SHIPPED = TOP / "deploy/prometheus"
INTERVAL = 1  # of pushes, in seconds
PUSHED = "upstat-push"


def shipped_scrapes(upstat, gateway):
    """scrape.yml and gateway.yml, with other addresses and often."""
    configs = []
    for name, address in (("scrape.yml", upstat.address), ("gateway.yml", gateway.address)):
        config, = yaml.safe_load((SHIPPED / name).read_text())["scrape_configs"]
        config["static_configs"][0]["targets"] = [address]
        configs.append(config | {"scrape_interval": "500ms", "scrape_timeout": "500ms"})
    return configs


def shipped_rules(directory):
    """rules.yml with seconds for minutes."""
    text = re.sub(r"(?m)^( +for: )\d+m$", r"\g<1>0s", (SHIPPED / "rules.yml").read_text())
    changed = text.replace("> 120", "> 5").replace("[3m]", "[10s]")
    assert changed.count("for: 0s") >= 7 and "> 5\n" in changed
    (directory / "rules.yml").write_text(changed)
    return directory / "rules.yml"


def test_scraped_and_pushed_at_once(rig, agent, stack, tmp_path):
    gateway = stack.enter_context(Pushgateway(tmp_path))
    upstat = agent(rig, {"--push.url": gateway.url, "--push.interval": f"{INTERVAL}s", "--push.instance": "edge-1"})
    prometheus = stack.enter_context(Prometheus(tmp_path, shipped_scrapes(upstat, gateway), [shipped_rules(tmp_path)]))

    def alerts(name):
        return [alert for alert in prometheus.alerts() if alert["labels"]["alertname"] == name and alert["state"] == "firing"]

    plan = [Request("/four/status/404"), *[Request("/four/status/200")] * 3] * 1500
    load = stack.enter_context(Clients(rig.traefik.url, plan, clients=2, rate=60))
    load.start()
    # One alert for one problem, with the true ratio: both of its sums are of the same samples.
    firing, = wait_for(lambda: alerts("TraefikHighHttp4xxErrorRateBackend"), 30, "the stock alert")
    assert firing["labels"]["backend"] == "four@file" and "instance" not in firing["labels"]
    wait_for(lambda: abs(float(alerts("TraefikHighHttp4xxErrorRateBackend")[0]["value"]) - 25) < 3, 30, "a ratio of 25 %")
    twice, = wait_for(lambda: alerts("UpstatSeenTwice"), 10, "the warning that sums count double")
    assert twice["labels"]["agent"] == "edge-1"
    load.stop()
    upstat.settle()
    true = total(upstat.samples(), "traefik_backend_requests_total")

    def sums():
        rows = prometheus.query("sum by (job) (traefik_backend_requests_total)")
        return {row["metric"]["job"]: float(row["value"][1]) for row in rows}
    wait_for(lambda: sums() == {"upstat": true, PUSHED: true}, 10, lambda: f"each job has all once: {true}, not {sums()}")

    # The agent dies; what the gateway keeps is told by job and instance as they were pushed.
    assert not alerts("UpstatPushStale")
    upstat.kill()
    stale, = wait_for(lambda: alerts("UpstatPushStale"), 20, "UpstatPushStale")
    assert stale["labels"] | {"job": PUSHED, "instance": "edge-1"} == stale["labels"]
    assert wait_for(lambda: alerts("UpstatDown"), 10, "UpstatDown")


def test_two_agents_of_one_name(rig, stack, tmp_path, upstat_binary):
    """As on cloned hosts."""
    gateway = stack.enter_context(Pushgateway(tmp_path))
    flags = rig.flags() | {"--push.url": gateway.url, "--push.interval": f"{INTERVAL}s", "--push.instance": "clone"}
    first = stack.enter_context(Upstat(upstat_binary, tmp_path, flags, name="first"))

    def owners():
        return [sample.labels["owner"] for sample in select(gateway.samples(), "push_owner_info")]

    own, = wait_for(owners, 10, "the first one's group")
    wait_for(lambda: total(first.samples(), "upstat_push_total", result="success") > 3, 20, "it goes on")
    second = stack.enter_context(Upstat(upstat_binary, tmp_path, flags, name="second"))
    wait_for(lambda: total(second.samples(), "upstat_push_total", result="failure") > 2, 30, "the second one looks again and again")
    assert owners() == [own]
    assert total(second.samples(), "upstat_push_total", result="success") == 0
    assert total(first.samples(), "upstat_push_total", result="failure") == 0
    assert second.log.count("another upstat") == 1, second.log
    assert own in second.log and "push.instance" in second.log
    said = subprocess.run([upstat_binary, "status", "--web.listen-address", second.address], capture_output=True, text=True, timeout=60, check=False)
    assert f"another upstat ({own})" in said.stdout, said

    # Its clean exit leaves the group; after a kill of the first one it takes it over.
    second.process.stop()
    assert owners() == [own]
    second.launch()
    second.wait_until_ready()
    first.kill()
    wait_for(lambda: owners() not in ([own], []), 30, "the second one has the group")
    assert "works again" in second.log
    second.process.stop()
    wait_for(lambda: not owners(), 10, "a clean exit takes its own group away")
