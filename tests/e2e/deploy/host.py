# SPDX-License-Identifier: Apache-2.0
"""A host with systemd, nginx's servers and a Traefik as units of it. Fixtures: a module that uses one imports it by name, and
has a fixture `machine`."""

from shutil import which

import pytest

from conftest import BUILD
from machine import Unit, debian_root, packages_of
from parts.base import wait_for
from parts.nginx import Nginx
from parts.traefik import Traefik
from parts.upstat import Upstat


class Agent(Upstat):
    """Upstat's pages, for an agent that systemd has started with the example's configuration."""

    def __init__(self, machine, binary, directory):
        super().__init__(binary, directory, address="127.0.0.1:9479")
        self.machine = machine
        self.process.command = machine.store.podman("exec", machine.name, "journalctl", "--follow", "--output=cat", "--unit=upstat")

    def start(self):
        self.process.start()  # the log, which is shown when a test fails
        self.machine.systemctl("start", "upstat")
        self.wait_until_ready()

    def wait_until_ready(self, bound=20):
        try:
            wait_for(self.ready, bound, "upstat is ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.machine.systemctl('status', 'upstat', check=False)}\n{self.log}") from None

    @property
    def log(self):
        return self.machine.journal("upstat")

    def stop(self):
        self.machine.systemctl("stop", "upstat", check=False)
        self.process.stop()


@pytest.fixture(scope="session")
def root_tar(upstat_binary):
    return debian_root(BUILD, packages_of([upstat_binary, which("nginx")]))


@pytest.fixture
def servers(stack, tmp_path, machine):
    nginx = Nginx(tmp_path, ("127.0.0.1", "::1", "127.0.0.1"))
    nginx._process.command[0] = "/usr/sbin/nginx"
    nginx._process.cgroup = Unit(machine, "servers")
    return stack.enter_context(nginx)


@pytest.fixture
def traefik(stack, tmp_path, machine, servers):
    """As its own unit file in Traefik's repository has it: another user, nothing of the host to write. Only that user may
    read its configuration, from which the agent is to learn where the API is."""
    home = tmp_path / "traefik"
    unit = Unit(machine, "traefik", ["User=www-data", "ProtectSystem=strict", "PrivateDevices=yes", "NoNewPrivileges=yes",
                                     "CapabilityBoundingSet=", "Restart=always",
                                     f"ExecStartPre=+chown -R www-data {home}", f"ExecStartPre=+chmod 0700 {home}"])
    services = {"four": servers.servers[:1], "both": servers.servers[1:]}
    return stack.enter_context(Traefik("/usr/local/bin/traefik", tmp_path, unit,
                                       {name: [servers.url(server) for server in listed] for name, listed in services.items()}))
