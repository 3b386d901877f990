# SPDX-License-Identifier: Apache-2.0
"""Traefik's names of today: what is written for Traefik 2 and 3 runs on them, in a real Prometheus.

The rules are those of awesome-prometheus-alerts, the queries those of the dashboards 17346 and 17347 (Traefik's own), 4475
and 10906 on grafana.com, as their authors wrote them but for line breaks.
"""

import re
import subprocess

from parts.base import get_json, wait_for
from parts.exposition import select
from parts.load import Clients, Request
from parts.monitoring import Alertmanager, Prometheus, Pushgateway

SERVICE = "both@file"
# 20 % are 404, 10 % are 500.
TURN = [Request("/both/bytes/100")] * 7 + [Request("/both/status/404")] * 2 + [Request("/both/status/500")]
RULES = """
groups:
  - name: EmbeddedExporterV2
    rules:
      - alert: TraefikHighHttp4xxErrorRateService
        expr: sum(rate(traefik_service_requests_total{code=~"4.*"}[3m])) by (service) / sum(rate(traefik_service_requests_total[3m])) by (service) * 100 > 5
        for: 1m
      - alert: TraefikHighHttp5xxErrorRateService
        expr: sum(rate(traefik_service_requests_total{code=~"5.*"}[3m])) by (service) / sum(rate(traefik_service_requests_total[3m])) by (service) * 100 > 5
        for: 1m
"""


def most(by, more, label, name, window):
    """How the official dashboards list services."""
    return (f'topk(15, label_replace(sum by ({by}) (rate(traefik_service_requests_total{{{label}=~"${label}.*",{more}protocol="http"}}'
            f'[{window}])) > 0, "{label}", "$1", "{label}", "{name}"))')


def official(label, name, window):
    """The request panels of 17346 and 17347: panel -> (query, labels that its rows have)."""
    codes = {"method", "code", label}
    return {
        "Http Code": (f'sum(rate(traefik_service_requests_total{{{label}=~"${label}.*",protocol="http"}}[{window}])) by (method, code)',
                      {"method", "code"}),
        "Most requested services": (most(f"{label},code", "", label, name, window), {"code", label}),
        "2xx over 5 min": (most(f"{label},method,code", 'code=~"2..",', label, name, window), codes),
        "5xx over 5 min": (most(f"{label},method,code", 'code=~"5..",', label, name, window), codes),
        "Other codes over 5 min": (most(f"{label},method,code", 'code!~"2..|5..",', label, name, window), codes),
    }


PANELS = {
    "17346": official("service", "([^-]+-[^-]+).*", "5m"),
    "17347": official("exported_service", "([^@]+)@.*", "$interval"),
    "4475": {
        "$service return code": ('traefik_service_requests_total{service="$service"}', {"service", "code", "method", "protocol"}),
        "Total requests over 5min $service": ('sum(rate(traefik_service_requests_total{service="$service"}[5m]))', set()),
        "Requests by service": ("sum(rate(traefik_service_requests_total[5m])) by (service) ", {"service"}),
    },
    "10906": {
        "Uptime": ('time() - process_start_time_seconds{job="$job"}', {"job"}),
        "404 Error Count last $interval": (
            'sum(increase(traefik_service_requests_total{code="404",method="GET",protocol=~"$protocol"}[$interval]))', set()),
        "$protocol return code": ('traefik_service_requests_total{protocol=~"$protocol"}', {"service", "code", "method", "protocol"}),
        "Bad Status Code Count $interval": (
            'sum(increase(traefik_service_requests_total{code="404",method="GET",protocol=~"$protocol"}[$interval])) by (service)',
            {"service"}),
        "Total requests over $interval": ("sum(rate(traefik_service_requests_total[$interval]))", set()),
        "Used sockets": ('process_open_fds{job=~"$job"}', {"job"}),
        "Access to backends": ('sum(rate(traefik_service_requests_total{protocol=~"http|https",code="200"}[$interval])) by (service)',
                               {"service"}),
        "Status Code Count per $interval": ('sum(increase(traefik_service_requests_total{protocol=~"$protocol"}[$interval])) by (code)',
                                            {"code"}),
    },
}
VARIABLES = {"$service": SERVICE, "$exported_service": "both", "$interval": "5m", "$protocol": ".*", "$job": "upstat"}


def filled_in(query):
    return re.sub(r"\$(service|exported_service|interval|protocol|job)\b", lambda match: VARIABLES[match[0]], query)


def rows(prometheus, query):
    """[labels] of those that do not show 0."""
    return [row["metric"] for row in prometheus.query(filled_in(query)) if float(row["value"][1]) > 0]


def empty(prometheus, dashboard):
    """Titles of its panels that show nothing, or not by the labels that their legends name."""
    panels = PANELS[dashboard].items()
    return [title for title, (query, labels) in panels
            if not (found := rows(prometheus, query)) or any(not labels <= row.keys() for row in found)]


def test_what_is_written_for_traefik_2_and_3_runs(rig, agent, stack, tmp_path):
    stack.enter_context(Clients(rig.traefik.url, TURN * 10_000, clients=2, rate=100)).start()
    upstat = agent(rig, {"--metrics.names": "service"})
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES.replace("for: 1m", "for: 0s"))
    prometheus = stack.enter_context(Prometheus(tmp_path, [upstat.address], [rules]))

    def firing():
        return {(alert["labels"]["alertname"], alert["labels"]["service"]): float(alert["value"]) for alert in prometheus.alerts()}

    wanted = {("TraefikHighHttp4xxErrorRateService", SERVICE): 20, ("TraefikHighHttp5xxErrorRateService", SERVICE): 10}
    wait_for(lambda: (now := firing()).keys() == wanted.keys() and all(abs(now[key] - wanted[key]) < 3 for key in wanted), 30, firing)
    for dashboard in ("17346", "4475", "10906"):
        wait_for(lambda dashboard=dashboard: not empty(prometheus, dashboard), 20, lambda dashboard=dashboard: empty(prometheus, dashboard))
    assert {row["code"] for row in rows(prometheus, PANELS["17346"]["Http Code"][0])} == {"200", "404", "500"}
    up = prometheus.query("count(traefik_service_server_up) by (service)")
    assert {row["metric"]["service"]: row["value"][1] for row in up} == {"four@file": "1", "six@file": "1", SERVICE: "2"}
    assert not prometheus.query('{__name__=~"traefik_backend_.*"}')

    # 17347 is for targets that a ServiceMonitor finds: they have a label `service` of their own.
    kubernetes = {"honor_labels": False, "static_configs": [{"targets": [upstat.address], "labels": {"service": "upstat"}}]}
    there = stack.enter_context(Prometheus(tmp_path, [upstat.address], name="kubernetes", scrape=kubernetes))
    wait_for(lambda: not empty(there, "17347"), 20, lambda: empty(there, "17347"))


def test_each_series_and_label_by_both_names(rig, agent, stack, tmp_path):
    stack.enter_context(Clients(rig.traefik.url, TURN * 10_000, clients=2, rate=100)).start()
    alertmanager = stack.enter_context(Alertmanager(tmp_path))
    gateway = stack.enter_context(Pushgateway(tmp_path))
    flags = {"--alert.window": "3s", "--alert.for": "0s", "--alertmanager.url": alertmanager.url, "--push.url": gateway.url,
             "--push.interval": "1s"}
    upstat = agent(rig, flags | {"--metrics.names": "both"})
    told, = wait_for(alertmanager.alerts, 30, "the alert is told")
    assert told["labels"]["backend"] == told["labels"]["service"] == SERVICE
    wait_for(lambda: select(gateway.samples(), "traefik_service_requests_total"), 20, "a push")
    for page in (upstat.samples(), gateway.samples()):
        for metric in ("requests_total", "server_up"):
            backends, services = (
                {tuple(sorted((key, value) for key, value in sample.labels.items() if key != name)): (sample.labels[name], sample.value)
                 for sample in select(page, f"traefik_{name}_{metric}") if sample.labels[name] == SERVICE}
                for name in ("backend", "service"))
            assert backends and backends == services


def test_where_only_the_new_name_is_wanted(rig, agent, stack, tmp_path):
    stack.enter_context(Clients(rig.traefik.url, TURN * 10_000, clients=2, rate=100)).start()
    alertmanager = stack.enter_context(Alertmanager(tmp_path))
    upstat = agent(rig, {"--alert.window": "3s", "--alert.for": "0s", "--alertmanager.url": alertmanager.url,
                         "--metrics.names": "service"})
    told, = wait_for(alertmanager.alerts, 30, "the alert is told")
    assert told["labels"]["service"] == SERVICE and "backend" not in told["labels"]
    assert f" is firing for service {SERVICE}: " in told["annotations"]["sentence"]
    assert f" is firing for service {SERVICE}: " in upstat.log
    assert upstat.ask("explain", SERVICE).startswith(f"{SERVICE}: ")
    assert upstat.ask("top").startswith("SERVICE / SERVER ")
    assert get_json(f"{upstat.url}/api/v1/backends")["names"] == "service"
    unknown = subprocess.run([upstat.binary, "explain", "x", "--web.listen-address", upstat.address], capture_output=True, text=True,
                             timeout=30, check=False)
    assert (unknown.returncode, unknown.stderr.splitlines()[0]) == (2, "upstat: there is no service x")

