# SPDX-License-Identifier: Apache-2.0
"""A real Traefik in a cgroup of its own."""

import json
from pathlib import Path

from . import counts
from .base import Part, Process, free_port, get, get_json, status_of
from .exposition import parse


class Traefik(Part):
    """services: name -> list of URLs. A request for /NAME/path goes to service NAME as /path.

    tcp: name -> HOST:PORT. What comes to tcp_ports[NAME] goes there as it is, through a TCP router.
    more: what changes the dynamic configuration before it is written. Certificates of servers are not checked.
    authenticated: name of a service -> URL that is asked before each of its requests (forwardAuth).
    checked: name of a service -> its healthCheck.
    provider: URL of a file that it asks for again and again (HTTP provider).
    entry_points: name -> HOST:PORT, more of them, for `more`.
    """

    def __init__(self, binary, directory, cgroup, services, metrics=True, api=True, name="traefik", experimental=None,
                 tcp=None, authenticated=None, checked=None, provider=None, more=None, entry_points=None):
        self.directory = Path(directory) / name
        self.services = services
        self.metrics = metrics
        self.api = api
        self._own_entry_point = True
        self.experimental = experimental
        self.tcp = tcp or {}
        self.tcp_ports = {name: free_port() for name in self.tcp}
        self.authenticated = authenticated or {}
        self.more = more
        self.checked = checked or {}
        self.provider = provider
        self.entry_points = entry_points or {}
        self.trusting = False  # takes the X-Forwarded-... of its clients
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api_url = f"http://127.0.0.1:{free_port()}"
        self.cgroup = cgroup
        self._process = Process(name, [binary, f"--configFile={self.directory}/traefik.yml"], directory, cgroup)

    @property
    def pid(self):
        return self._process.pid

    @property
    def log(self):
        return self._process.text()

    def flags(self, named_by="pid"):
        """How the agent is told which Traefik, by `pid` or by `cgroup`; and where its API is."""
        name = {"--traefik.pid": self.pid} if named_by == "pid" else {"--traefik.cgroup": self.cgroup.path}
        return {**name, "--traefik.api": self.api_url}

    def enter(self, space):
        """It is going to be started inside a PidNamespace; its pid is then that of the nsenter around it."""
        # The nsenter stays outside of the cgroup: from inside the namespace it would be a stranger there.
        self._process.command = space.inside(self.cgroup.inside(self._process.command))
        self._process.cgroup = None

    def leave_cgroup(self):
        """Before the start: it will be in the cgroup of this process."""
        self._process.cgroup = None

    def write_static(self):
        """What Traefik reads when it starts. JSON is YAML, and the standard library writes it."""
        (self.directory / "traefik.yml").write_text(json.dumps(self._static(), indent=1))

    def start(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        self.write_static()
        self.write_services(self.services)
        self._process.start()
        self._process.ready_when(self.is_loaded, 30, "Traefik serves")

    def is_loaded(self):
        return status_of(f"{self.url}/-/loaded") == 200

    def stop(self):
        self._process.stop(grace=5)

    def kill(self):
        self._process.stop(number=9)

    def write_services(self, services):
        """Traefik watches this file."""
        self.services = services
        path = self.directory / "dynamic.yml"
        path.with_suffix(".new").write_text(json.dumps(self._dynamic(), indent=1))
        path.with_suffix(".new").rename(path)

    def servers_of(self, service):
        return {url.removeprefix("http://") for url in self.services[service]}

    def listed_services(self):
        """service@file -> servers, as upstat names both."""
        return {f"{name}@file": self.servers_of(name) for name in self.services}

    def samples(self):
        return parse(get(f"{self.api_url}/metrics"))

    def counts(self):
        """(service, code, method) -> requests, from Traefik's own metrics."""
        return counts.of_traefik(self.samples())

    def rawdata(self):
        return get_json(f"{self.api_url}/api/rawdata")

    def close(self):
        """Before the start: neither API nor metrics, nor an entry point for them."""
        self.api = self.metrics = False
        self._own_entry_point = False

    def _static(self):
        static = {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "log": {"level": "INFO"},
            "entryPoints": {"web": {"address": self.url.removeprefix("http://")},
                            "traefik": {"address": self.api_url.removeprefix("http://")}},
            "providers": {"file": {"filename": str(self.directory / "dynamic.yml"), "watch": True}},
            "ping": {"manualRouting": True},
            "serversTransport": {"insecureSkipVerify": True},
        }
        if self.api:
            static["api"] = {"insecure": True}
        if self.trusting:
            static["entryPoints"]["web"]["forwardedHeaders"] = {"insecure": True}
        if self.provider:
            static["providers"]["http"] = {"endpoint": self.provider, "pollInterval": "200ms"}
        if not self._own_entry_point:
            del static["entryPoints"]["traefik"]
        if self.experimental:
            static["experimental"] = self.experimental
        for name, address in self.entry_points.items():
            static["entryPoints"][name] = {"address": address}
        for name, port in self.tcp_ports.items():
            static["entryPoints"][f"tcp-{name}"] = {"address": f"127.0.0.1:{port}"}
        if self.metrics:
            static["metrics"] = {"prometheus": {"addServicesLabels": True, "addEntryPointsLabels": False}}
        return static

    def _dynamic(self):
        dynamic = {"http": _http(self.services)}
        for name, url in self.authenticated.items():
            dynamic["http"]["middlewares"][f"auth-{name}"] = {"forwardAuth": {"address": url}}
            dynamic["http"]["routers"][name]["middlewares"].append(f"auth-{name}")
        if self.more:
            self.more(dynamic["http"])
        for name, check in self.checked.items():
            dynamic["http"]["services"][name]["loadBalancer"]["healthCheck"] = check
        if self.tcp:
            dynamic["tcp"] = {
                "routers": {name: {"rule": "HostSNI(`*`)", "service": name, "entryPoints": [f"tcp-{name}"]} for name in self.tcp},
                "services": {name: {"loadBalancer": {"servers": [{"address": address}]}} for name, address in self.tcp.items()}}
        return dynamic


def _http(services):
    routers = {"loaded": {"rule": "Path(`/-/loaded`)", "service": "ping@internal", "entryPoints": ["web"]}}
    middlewares = {}
    for name in services:
        routers[name] = {"rule": f"PathPrefix(`/{name}/`)", "service": name, "middlewares": [f"strip-{name}"],
                         "entryPoints": ["web"]}
        middlewares[f"strip-{name}"] = {"stripPrefix": {"prefixes": [f"/{name}"]}}
    return {
        "routers": routers,
        "middlewares": middlewares,
        "services": {name: {"loadBalancer": {"servers": [{"url": url} for url in urls]}}
                     for name, urls in services.items()}}
