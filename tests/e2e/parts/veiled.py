# SPDX-License-Identifier: Apache-2.0
"""Servers whose responses no packet shows: TLS with HTTP/1 and HTTP/2, and HTTP/2 in clear text. Their access logs are the
oracle, as those of servers.py."""

from .cgroup import Cgroup
from .servers import Caddy, Nginx


class NginxTls(Nginx):
    """As a host name it is asked by, its certificate names localhost. h2: it offers HTTP/2. client: it asks for a certificate."""

    kind = "nginx-tls"
    scheme = "https"

    def __init__(self, directory, authority, h2=False, client=False, kind=None):
        self.kind = kind or ("nginx-h2" if h2 else "nginx-tls")
        self._authority, self._h2, self._client = authority, h2, client
        super().__init__(directory)

    def write_files(self):
        certificate, key = self._authority.issue(self.kind, "serverAuth")
        super().write_files()
        path = self.directory / "nginx.conf"
        client = f"ssl_client_certificate {self._authority.ca}; ssl_verify_client on;" if self._client else ""
        path.write_text(path.read_text().replace(
            f"listen {self.address};",
            f"listen {self.address} ssl {'http2' if self._h2 else ''}; ssl_certificate {certificate}; ssl_certificate_key {key}; {client}"))


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
