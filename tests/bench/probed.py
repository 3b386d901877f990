# SPDX-License-Identifier: Apache-2.0
"""`tls`: what a request to a server costs whose responses the probe counts, and one in clear text beside it.

As `traefik`, for small responses: the same roles in turns in one process, and Traefik's metrics in another one. What is
upstat's are the programs at the sockets and the probe, both for the windows of its role only.
"""

from contextlib import ExitStack, contextmanager
from pathlib import Path as FilePath

from parts.base import Part, wait_for
from parts.tls import Authority
from parts.upstat import Upstat

import bpf
from proxied import EQUAL, IDLE, MEASURES, METRICS, OTHERS, figures_of, measure_round
from stage import WORKLOADS, Path, Programs

BESIDE = {METRICS: OTHERS[METRICS]}
SERVERS = {  # how nginx serves
    "cleartext": {"scheme": "http"},
    "https, HTTP/1": {"scheme": "https", "listen": "ssl; {}"},
    "https, HTTP/2": {"scheme": "https", "listen": "ssl http2; {}"},
    "h2c": {"scheme": "h2c", "listen": "http2"},
}


class Probe(Part):
    """The probe of an agent that has ended, for one Traefik."""

    def __init__(self, directory, upstat_binary, traefik, cgroup):
        self._traefik = traefik
        self._agent = Upstat(upstat_binary, directory, {"--traefik.cgroup": cgroup.path, "--probe.tls": "on",
                                                        "--log.level": "warning"}, name="prober")

    def start(self):
        with self._agent as agent:
            link, = wait_for(lambda: list(agent.pin_path.glob(f"probes/{self._traefik.pid}-*")), 20, "the probe is there")
            self._probe = bpf.PinnedProbe(link, agent.pin_path / "probes" / "counting", next(agent.pin_path.glob("*/probed")))

    def stop(self):
        self._probe.close()

    def on(self):
        return self._probe.attached(self._traefik.pid)

    def responses(self):
        return self._probe.responses()


class Both:
    """As Programs, with the probe beside upstat's."""

    def __init__(self, programs, probe):
        self._programs, self._probe = programs, probe

    @contextmanager
    def on(self, cgroup, name):
        with ExitStack() as stack:
            stack.enter_context(self._programs.on(cgroup, name))
            if name == "upstat":
                stack.enter_context(self._probe.on())
            yield

    def responses(self):
        return self._programs.responses() + self._probe.responses()


def measure(directory, options):
    certificate = "ssl_certificate {}; ssl_certificate_key {}".format(*Authority(FilePath(directory)).issue("nginx", "serverAuth"))
    figures, details = [], {}
    with Programs(directory, options.upstat) as programs:
        for number, (what, servers) in enumerate(SERVERS.items()):
            servers = {**servers, "listen": servers.get("listen", "").format(certificate)}
            rounds = _rounds(directory, options, programs, f"veiled-{number}", servers)
            figures += figures_of(what, rounds, "tls", BESIDE, MEASURES[:1])
            details[what] = [[{role: list(cost) for role, cost in turn.items()} for turn in one.turns] for one in rounds]
    return figures, details


def _rounds(directory, options, programs, name, servers):
    with ExitStack() as stack:
        def path(suffix, **more):
            return stack.enter_context(Path(directory, options, f"{name}-{suffix}", ways=len(EQUAL), pinned=True, idle=IDLE,
                                            servers=servers, **more))

        plain = path("plain")
        paths = {role: plain for role in EQUAL} | {role: path("metrics", **more) for role, more in BESIDE.items()}
        probe = stack.enter_context(Probe(plain.directory, options.upstat, plain.traefik, plain.cgroup))
        return [measure_round(Both(programs, probe), paths, WORKLOADS["small"], options.seconds, number)
                for number in range(options.rounds + 1)][1:]  # the first one warms up
