# SPDX-License-Identifier: Apache-2.0
"""Whether a generated configuration's responses are counted as nginx logged them, and as Traefik counts them by service."""

import re
from collections import Counter

from . import counts
from .exposition import select
from .many_servers import CHECK, USER
from .upstat import broken_invariants

MADE_UP = 502  # of a server that refuses or closes. No server of these tests says it.


def members(backend):
    """The services that a series is of."""
    return re.split(r"(?<=@file)\|", backend)


def since(before, after):
    return Counter({key: count - before.get(key, 0) for key, count in after.items() if count != before.get(key, 0)})


class Counts:
    """Everything that counts, at one moment. Health checks go on, so nginx's log of them is read before and after.

    most_outstanding: as in broken_invariants.
    """

    def __init__(self, nginx, upstat, traefik, most_outstanding):
        self.checks = _of_checks(nginx.asked())
        self.traefik = traefik.counts()
        upstat.settle()
        samples = upstat.samples()
        rows = nginx.asked()
        self.broken = broken_invariants(samples, most_outstanding)
        self.servers = counts.of_upstat_servers(samples)
        self.probes = counts.of_upstat_probes(samples)
        self.backends = counts.of_upstat_backends(samples)
        self.unanswered = Counter()
        for sample in select(samples, "upstat_server_unanswered_total"):
            self.unanswered[sample.labels["server"], sample.labels["reason"]] += int(sample.value)
        self.checks_after = _of_checks(rows)
        self.rows = Counter(row for row in rows if row.who != CHECK)


class Verdict:
    """wrong: sentences about what is not as it must be. in_vain: (service, method) -> how often Traefik asked where nobody
    listens."""

    def __init__(self, configuration, before, now, in_vain):
        self.wrong = []
        self._leaves = configuration.leaves
        self._told = configuration.told
        self._moves = bool(configuration.moved)
        self._in_vain = in_vain
        self._servers = {server for servers in self._leaves.values() for server in servers}
        rows = since(before.rows, now.rows)
        self._rows = [(row, count) for row, count in rows.items() if row.server in self._servers]
        self._closed = Counter()
        for row, count in self._rows:
            if row.code == 444:
                self._closed[row.server, counts.label_of(row.method)] += count
        self._check_servers(before, now)
        self._check_health_checks(before, now)
        for cluster in self._clusters():
            self._check_cluster({f"{leaf}@file" for leaf in cluster}, self._made_up(cluster),
                                since(before.backends, now.backends), since(before.traefik, now.traefik))

    def _say(self, what, left, right):
        if difference := counts.difference(left, right):
            self.wrong.append(f"{what}: {difference}")

    def _mine(self, counted):
        return Counter({key: count for key, count in counted.items() if key[0] in self._servers})

    def _check_servers(self, before, now):
        responses, asked = Counter(), Counter()
        for row, count in self._rows:
            if row.code != 444 and row.who == USER:
                responses[row.server, row.code, counts.label_of(row.method)] += count
            elif row.code != 444:
                asked[row.server, row.who, row.code] += count
        self._say("users' responses by server (upstat, nginx)", self._mine(since(before.servers, now.servers)), responses)
        probes = self._mine(since(before.probes, now.probes))
        self._say("Traefik's own by server (upstat, nginx)",
                  Counter({key: count for key, count in probes.items() if key[1] != CHECK}), asked)
        unanswered = self._mine(since(before.unanswered, now.unanswered))
        self._say("closed without a response (upstat, nginx)", _by_owner(unanswered), _by_owner(self._closed))

    def _check_health_checks(self, before, now):
        """Some come while the pages are read."""
        probes = self._mine(since(before.probes, now.probes))
        checks = Counter({key: count for key, count in probes.items() if key[1] == CHECK})
        least = self._mine(since(before.checks_after, now.checks))
        most = self._mine(since(before.checks, now.checks_after))
        for key in {*checks, *least, *most}:
            if not least[key] <= checks[key] <= most[key]:
                self.wrong.append(f"health checks {key}: {checks[key]}, not {least[key]} to {most[key]}")

    def _clusters(self):
        """Services that share servers, together."""
        clusters = []
        for leaf, servers in self._leaves.items():
            near = [cluster for cluster in clusters if any(self._leaves[other] & servers for other in cluster)]
            clusters = [cluster for cluster in clusters if cluster not in near] + [{leaf}.union(*near)]
        return clusters

    def _check_cluster(self, names, made_up, by_upstat, by_traefik):
        of_cluster = {backend for backend, _, _ in by_upstat if names & set(members(backend))}
        self.wrong += [f"{backend} has members that share no server" for backend in of_cluster
                       if not names >= set(members(backend))]
        self._say(f"{sorted(names)} (upstat and made up, Traefik)", _summed(by_upstat, of_cluster) + made_up,
                  _summed(by_traefik, names))
        for name in names:
            mine, most = _of(by_upstat, name), _of(by_traefik, name)
            if mine - most and not self._moves:  # until the next poll, a moved server's go to whom it belonged
                self.wrong.append(f"{name} got what is not its own (upstat, Traefik): {counts.difference(mine, most)}")
            if self._told:
                self._say(f"{name} (upstat, Traefik)", mine, most)

    def _made_up(self, cluster):
        """(code, method) -> responses of Traefik's own: one for each request that a server closed, or that found none."""
        made_up = Counter()
        for leaf in cluster:
            for (service, method), count in self._in_vain.items():
                made_up[MADE_UP, method] += count if service == leaf else 0
        for server in {server for leaf in cluster for server in self._leaves[leaf]}:
            for (closed, method), count in self._closed.items():
                made_up[MADE_UP, method] += count if closed == server else 0
        return made_up


def _of_checks(rows):
    return Counter((row.server, row.who, row.code) for row in rows if row.who == CHECK)


def _by_owner(counted):
    sums = Counter()
    for (owner, _), count in counted.items():
        sums[owner] += count
    return sums


def _summed(counted, owners):
    sums = Counter()
    for (owner, code, method), count in counted.items():
        if owner in owners:
            sums[code, method] += count
    return sums


def _of(counted, name):
    return Counter({key: count for key, count in counted.items() if key[0] == name})
