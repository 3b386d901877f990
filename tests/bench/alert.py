# SPDX-License-Identifier: Apache-2.0
"""`alert`: from the first bad response to firing, in the agent and in Prometheus (15 s scrape and evaluation) with
Alertmanager's default grouping; the seed's rule with its real window and `for`, one run."""

import json
import time
from contextlib import ExitStack
from pathlib import Path

from parts.load import Clients, Request
from parts.base import wait_for
from parts.monitoring import Alertmanager, Prometheus, Webhook
from parts.rig import Rig
from parts.rule import StateWatch, states_in
from parts.upstat import Bpffs, Upstat

from figures import Figure

SEED = Path(__file__).resolve().parents[1] / "e2e" / "data" / "seed_rule.yml"
RATE = 50       # requests a second
WARM_UP = 200   # seconds: the window is full of good responses
BOUND = 400     # seconds for all to fire
BACKEND = "shop@file"
RULE = 0.05 * 180 + 60  # seconds: every response is bad from the first one on, at a steady rate


class NotifyingPrometheus(Prometheus):
    def __init__(self, directory, targets, rules, alertmanager):
        super().__init__(directory, targets, rules, interval="15s")
        self._alertmanager = alertmanager

    def command(self):
        command = super().command()
        path = self.directory / "prometheus.yml"
        configuration = json.loads(path.read_text())
        configuration["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [self._alertmanager.address]}]}]}
        path.write_text(json.dumps(configuration, indent=1))
        return command


class DefaultAlertmanager(Alertmanager):
    """group_wait, group_interval and group_by as they are when nobody says anything."""

    def command(self):
        command = super().command()
        path = self.directory / "alertmanager.yml"
        configuration = json.loads(path.read_text())
        configuration["route"] = {"receiver": configuration["route"]["receiver"]}
        path.write_text(json.dumps(configuration, indent=1))
        return command


def measure(directory, options):
    with ExitStack() as stack:
        stack.enter_context(Bpffs())
        rig = stack.enter_context(Rig(directory, options.traefik, ("127.0.0.1",), {"shop": [0]}))
        agent = stack.enter_context(Upstat(options.upstat, directory, {**rig.flags(), "--poll.interval": "5s", "--metrics.zero-for": "75s",
                                                                       "--log.level": "warning"}))
        webhook = stack.enter_context(Webhook())
        alertmanager = stack.enter_context(DefaultAlertmanager(directory, webhook.url))
        prometheus = stack.enter_context(NotifyingPrometheus(directory, [agent.address], [SEED], alertmanager))
        clients = stack.enter_context(Clients(rig.traefik.url, [Request("/shop/")] * (RATE * (WARM_UP + BOUND)), rate=RATE))
        clients.start()
        time.sleep(WARM_UP)
        observers = {"agent": lambda: agent.alert(BACKEND)[0], "Prometheus": lambda: states_in(prometheus).get(BACKEND),
                     "Alertmanager": lambda: "firing" if webhook.heard else None}
        with StateWatch(observers) as watch:
            rig.nginx.turn_bad(rig.nginx.servers[0])
            wait_for(lambda: all("firing" in watch.states(name) for name in observers), BOUND, "all of them fire", interval=1)
        bad = min(done.ended for done in clients.done if done.status == 404)
    fired = {name: next(at for at, state in watch.changes[name] if state == "firing") - bad for name in observers}
    return _figures(fired), fired


def _figures(fired):
    notes = {"agent": "poll and evaluation each 5 s", "Prometheus": "scrape and evaluation each 15 s",
             "Alertmanager": "told its receiver; group_wait 30 s"}
    figures = [Figure("alert", f"first bad response to firing, {name}", "s", seconds, note=notes[name])
               for name, seconds in fired.items()]
    agent, pipeline = fired["agent"], fired["Alertmanager"]
    return figures + [
        Figure("alert", "agent / Prometheus with Alertmanager", "ratio", agent / pipeline),
        Figure("alert", "agent, behind the first moment at which the rule can fire", "s", agent - RULE,
               note=f"{RULE:.0f} s: 5 % of the window, then `for`; the first evaluation after it comes within 5 s"),
        Figure("alert", "Prometheus with Alertmanager, behind the same", "s", pipeline - RULE)]
