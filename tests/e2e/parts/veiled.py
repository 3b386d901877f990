# SPDX-License-Identifier: Apache-2.0
"""Servers whose responses no packet shows: TLS with HTTP/1 and HTTP/2, and HTTP/2 in clear text. Their access logs are the
oracle, as those of servers.py."""

from .cgroup import Cgroup
from .servers import DATA, Caddy, Nginx, Server


class NginxTls(Nginx):
    """As a host name it is asked by, its certificate names localhost. h2: it offers HTTP/2. client: it asks for a certificate.
    name: it shakes hands with those alone who ask for it (SNI), and its requests are to have it as their host."""

    kind = "nginx-tls"
    scheme = "https"

    def __init__(self, directory, authority, h2=False, client=False, kind=None, name=None):
        self.kind = kind or ("nginx-h2" if h2 else "nginx-tls")
        self._authority, self._h2, self._client, self._name = authority, h2, client, name
        super().__init__(directory)

    def write_files(self):
        certificate, key = self._authority.issue(self.kind, "serverAuth")
        super().write_files()
        path = self.directory / "nginx.conf"
        client = f"ssl_client_certificate {self._authority.ca}; ssl_verify_client on;" if self._client else ""
        listen = f"listen {self.address} ssl {'http2' if self._h2 else ''}"
        own = f"{listen}; ssl_certificate {certificate}; ssl_certificate_key {key}; {client}"
        if self._name:
            own = f"{listen} default_server; ssl_reject_handshake on; }}\n  server {{ {own} server_name {self._name};"
        path.write_text(path.read_text().replace(f"listen {self.address};", own))


class NodeH2(Server):
    """HTTP/2 over TLS. /together/CODE gets its response when so many streams wait for one."""

    kind = "node-h2"
    scheme = "https"

    def __init__(self, directory, authority, together):
        self._authority, self._together = authority, together
        super().__init__(directory)

    def command(self):
        return ["node", DATA / "h2_server.js", self.port, self.log, *self._authority.issue(self.kind, "serverAuth"), self._together]

    def connections(self):
        """Numbers of the connections that its log has."""
        return {line.split()[2] for line in self.lines()}


class CaddyTls(Caddy):
    kind = "caddy-h2"
    scheme = "https"

    def __init__(self, directory, authority):
        self._authority = authority
        super().__init__(directory)

    def write_files(self):
        certificate, key = self._authority.issue(self.kind, "serverAuth")
        super().write_files()
        path = self.directory / "Caddyfile"
        path.write_text(path.read_text().replace(f":{self.port} {{\n  bind 127.0.0.1\n",
                                                 f"https://:{self.port} {{\n  bind 127.0.0.1\n  tls {certificate} {key}\n"))


class CaddyH2c(Caddy):
    kind = "caddy-h2c"
    scheme = "h2c"

    def write_files(self):
        super().write_files()
        path = self.directory / "Caddyfile"
        path.write_text(path.read_text().replace("  auto_https off\n",
                                                 "  auto_https off\n  servers {\n    protocols h1 h2 h2c\n  }\n"))


class CaddyProxy(Caddy):
    """Another proxy of Go's, in a cgroup of its own. services: name -> URL; /NAME/path goes there as /path."""

    kind = "caddy-proxy"

    def __init__(self, directory, services):
        self.services = services
        super().__init__(directory)
        self.url = f"http://{self.address}"
        self.cgroup = self._process.cgroup = Cgroup()

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        self.cgroup.start()
        super().start()

    def stop(self):
        super().stop()
        self.cgroup.stop()

    def write_files(self):
        routes = "\n".join(f"handle_path /{name}/* {{\n reverse_proxy {url} {{\n transport http {{\n"
                           f"{'tls_insecure_skip_verify' if url.startswith('https') else ''}\n }}\n }}\n }}"
                           for name, url in self.services.items())
        self.file("Caddyfile", f"{{\n admin off\n auto_https off\n}}\n:{self.port} {{\n bind 127.0.0.1\n {routes}\n}}\n")


def url_of(server):
    return f"{getattr(server, 'scheme', 'http')}://{server.address}"
