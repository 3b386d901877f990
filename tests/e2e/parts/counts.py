# SPDX-License-Identifier: Apache-2.0
"""The same Counter from each of those who count: nginx's log, Traefik's metrics, upstat's metrics."""

from collections import Counter

from .exposition import select

METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}


def label_of(method):
    """The `method` label that Traefik gives it."""
    return method if method in METHODS else "EXTENSION_METHOD"


def of_nginx(rows):
    """(server, code, method) -> answers that nginx logged."""
    return Counter((row.server, row.code, label_of(row.method)) for row in rows)


def of_traefik(samples):
    """(service, code, method) -> what Traefik counted; its internal services are left out."""
    return _counter(samples, "traefik_service_requests_total", "service",
                    lambda labels: not labels["service"].endswith("@internal"))


def of_upstat_servers(samples):
    """(server, code, method) -> answers that upstat counted."""
    return _counter(samples, "upstat_server_responses_total", "server")


def of_upstat_probes(samples):
    """(server, kind, code) -> answers to Traefik's own requests."""
    return Counter({(s.labels["server"], s.labels["kind"], int(s.labels["code"])): int(s.value)
                    for s in select(samples, "upstat_server_probe_responses_total") if s.value})


def of_upstat_backends(samples):
    """(backend, code, method) -> answers that upstat attributed."""
    return _counter(samples, "traefik_backend_requests_total", "backend")


def by_service(server_counts, services):
    """Sums (server, code, method) up to (service, code, method); services: name -> servers."""
    sums = Counter()
    for name, servers in services.items():
        for (server, code, method), count in server_counts.items():
            if server in servers:
                sums[name, code, method] += count
    return sums


def difference(left, right):
    """What is not equal: key -> (left, right)."""
    return {key: (left.get(key, 0), right.get(key, 0)) for key in sorted({*left, *right})
            if left.get(key, 0) != right.get(key, 0)}


def _counter(samples, name, owner, wanted=lambda labels: True):
    counts = Counter()
    for sample in select(samples, name):
        if sample.value and wanted(sample.labels):
            counts[sample.labels[owner], int(sample.labels["code"]), sample.labels["method"]] += int(sample.value)
    return counts
