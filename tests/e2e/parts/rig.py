# SPDX-License-Identifier: Apache-2.0
"""The usual set: nginx servers, and a Traefik in its own cgroup that balances between them."""

from contextlib import ExitStack

from .base import Part
from .cgroup import Cgroup
from .nginx import Nginx
from .traefik import Traefik


class Rig(Part):
    """layout: service -> indices into `addresses`. After the start: nginx, cgroup, traefik, services (names)."""

    LAYOUT = {"four": [0], "six": [1], "both": [2, 3]}

    def __init__(self, directory, traefik_binary, addresses=("127.0.0.1", "::1", "127.0.0.1", "::1"), layout=None, **traefik):
        self.nginx = Nginx(directory, addresses)
        self.cgroup = Cgroup()
        layout = layout or self.LAYOUT
        services = {name: [self.nginx.url(self.nginx.servers[i]) for i in indices] for name, indices in layout.items()}
        self.services = list(services)
        self.traefik = Traefik(traefik_binary, directory, self.cgroup, services, **traefik)
        self._stack = ExitStack()

    def start(self):
        for part in (self.nginx, self.cgroup, self.traefik):
            self._stack.enter_context(part)

    def stop(self):
        self._stack.close()

    def flags(self, named_by="pid"):
        return self.traefik.flags(named_by)
