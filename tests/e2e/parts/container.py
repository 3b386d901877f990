# SPDX-License-Identifier: Apache-2.0
"""What makes a container: a network, an /etc/hosts and an /etc/resolv.conf of its own."""

import subprocess
from pathlib import Path

from .base import Part, Process
from .nginx import Nginx
from .traefik import Traefik


class Container(Part):
    """hosts: name -> address. names: what its name server knows, name -> address. The server is asked through the
    search domain `shop.test`."""

    def __init__(self, directory, hosts=None, names=None):
        self.directory = Path(directory) / "container"
        self.directory.mkdir(parents=True)
        (self.directory / "names").mkdir()
        self._files = {"/etc/hosts": self.directory / "hosts", "/etc/resolv.conf": self.directory / "resolv.conf"}
        self.set_hosts(hosts or {})
        self.set_names(names or {})
        self._files["/etc/resolv.conf"].write_text("nameserver 127.0.0.11\nsearch shop.test\noptions ndots:0\n")
        mounts = " && ".join(f"mount --bind {ours} {theirs}" for theirs, ours in self._files.items())
        # Each of the network's loopback addresses is there once `lo` is up.
        self._first = Process("container", ["unshare", "--net", "--mount", "sh", "-c",
                                            f"ip link set lo up && {mounts} && touch {self.directory}/ready && exec sleep 1000"],
                              directory)
        self._dns = None

    def start(self):
        self._first.start()
        self._first.ready_when((self.directory / "ready").exists, 10, "the container's network")
        self._dns = Process("dnsmasq", self.inside(
            ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--no-resolv", "--no-hosts", "--log-queries",
             "--log-facility=-", "--listen-address=127.0.0.11", "--bind-interfaces", f"--pid-file={self.directory}/dnsmasq.pid",
             f"--hostsdir={self.directory}/names", "--local=/shop.test/", "--domain-needed"]), self.directory)
        self._dns.start()
        self._dns.ready_when(lambda: "started" in self._dns.text(), 10, "dnsmasq listens")

    def stop(self):
        if self._dns:
            self._dns.stop()
        self._first.stop()

    def inside(self, command):
        return ["nsenter", "-t", str(self._first.pid), "--net", "--mount", "--", *[str(word) for word in command]]

    def set_hosts(self, hosts):
        self._files["/etc/hosts"].write_text("127.0.0.1 localhost\n" + "".join(f"{at} {name}\n" for name, at in hosts.items()))

    def set_names(self, names):
        """dnsmasq reads a changed file of the directory by itself (inotify)."""
        (self.directory / "names" / "hosts").write_text("".join(f"{at} {name}.shop.test\n" for name, at in names.items()))

    def asked(self):
        """How often a name server was asked for."""
        return self._dns.text().count("query[A]")

    def succeeds(self, *command):
        return subprocess.run(self.inside(command), check=False, capture_output=True, timeout=60).returncode == 0


class ContainedNginx(Nginx):
    """nginx in a container."""

    def __init__(self, container, directory, addresses):
        super().__init__(directory, addresses)
        self._container = container
        self._command = self._process.command

    def start(self):
        self._process.command = self._container.inside(self._command)
        super().start()

    def is_listening(self, host, port):
        return self._container.succeeds("bash", "-c", f"</dev/tcp/{host}/{port}")


class ContainedTraefik(Traefik):
    """A Traefik in a container."""

    def __init__(self, container, *arguments, **options):
        super().__init__(*arguments, **options)
        self._container = container

    def start(self):
        # The nsenter becomes Traefik: one process, whose id is ours to name.
        self._process.command = self._container.inside(self._process.command)
        super().start()

    def is_loaded(self):
        return self._container.succeeds("curl", "-s", "-f", "-o", "/dev/null", f"{self.url}/-/loaded")

    def ask(self, service, path, count):
        """So many requests, one after the other; each response is waited for."""
        assert self._container.succeeds("curl", "-s", "-o", "/dev/null", f"{self.url}/{service}{path}?[1-{count}]")
