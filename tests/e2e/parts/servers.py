# SPDX-License-Identifier: Apache-2.0
"""Eight kinds of real servers behind Traefik, each with an access log of its own as the oracle.

Each listens on 127.0.0.1 and answers /status/CODE with that code; what else it answers is its own business. Idle connections
stay open, so that whoever closes one does it for a reason of its own.
"""

import json
import re
import signal
from collections import Counter
from pathlib import Path

from .base import Part, Process, free_port
from .counts import difference, label_of
from .nginx import connects

_NO_METHOD = ("-", "<BADREQ>")
CODES = (200, 204, 403, 404, 410, 500, 503)
DATA = Path(__file__).resolve().parents[1] / "data"


class Server(Part):
    """One process that writes a line for each response: its code and, where the request could be read, its method."""

    kind = ""
    unlogged = frozenset()  # codes that some of its responses have without a line in its log

    def __init__(self, directory):
        self.directory = Path(directory) / self.kind
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.log = self.directory / "access.log"
        self._process = Process(self.kind, self.command(), directory, env=self.environment())

    def command(self):
        raise NotImplementedError

    def environment(self):
        return None

    def write_files(self):
        """What the process reads."""

    def start(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        self.write_files()
        self._process.start()
        self._process.ready_when(lambda: connects("127.0.0.1", self.port), 60, f"{self.kind} listens")

    def stop(self):
        self._process.stop(signal.SIGTERM)

    def lines(self):
        return [line for line in self.log.read_text(errors="replace").splitlines(keepends=True) if line.endswith("\n")]

    def row(self, line):
        """(code, method) of a line; the method may be '-'."""
        code, method = (line.split() + ["-"])[:2]
        return int(code), method.strip('"')

    def logged(self):
        """(code, method) -> lines."""
        return Counter(map(self.row, self.lines()))

    def differs(self, responses):
        """What is not equal in the log and in `responses`, as upstat counts them: (code, method) -> (log, upstat).

        Where the log does not know the method of each response with a code, that code is compared as a whole.
        """
        logged = self.logged()
        nameless = {code for code, method in logged if method in _NO_METHOD}
        lines, counted = Counter(), Counter()
        for (code, method), count in logged.items():
            lines[code, None if code in nameless else label_of(method)] += count
        for (server, code, method), count in responses.items():
            if server == self.address and code not in self.unlogged:
                counted[code, None if code in nameless else method] += count
        return difference(lines, counted)

    def file(self, name, text):
        (self.directory / name).write_text(text)


class Nginx(Server):
    kind = "nginx"

    def command(self):
        return ["nginx", "-e", "stderr", "-p", self.directory, "-c", self.directory / "nginx.conf"]

    def write_files(self):
        statuses = "\n".join(f"location = /status/{code} {{ return {code}; }}" for code in CODES)
        temporary = "\n".join(f"{of}_temp_path {self.directory}/{of};" for of in
                              ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        self.file("nginx.conf", f"""
daemon off; user root; worker_processes 1; pid {self.directory}/pid;
events {{ worker_connections 1024; }}
http {{
  {temporary}
  log_format oracle '$status $request_method';
  access_log {self.log} oracle;
  keepalive_timeout 1h; keepalive_requests 1000000000;
  server {{ listen {self.address}; {statuses} location / {{ return 404; }} }}
}}
""")


class Apache(Server):
    kind = "apache"

    def command(self):
        return ["apache2", "-D", "FOREGROUND", "-d", self.directory, "-f", self.directory / "httpd.conf"]

    def write_files(self):
        modules = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
                            for name in ("mpm_event", "authz_core", "alias", "reqtimeout"))
        statuses = "\n".join(f"Redirect {code} /status/{code}" for code in CODES if code != 200)
        (self.directory / "files" / "status").mkdir(parents=True)
        self.file("files/status/200", "ok\n")
        self.file("httpd.conf", f"""
{modules}
ServerName localhost
Listen {self.address}
PidFile {self.directory}/pid
DefaultRuntimeDir {self.directory}
ErrorLog {self.directory}/error.log
LogFormat "%>s %m" oracle
CustomLog {self.log} oracle
DocumentRoot {self.directory}/files
RequestReadTimeout header=0 body=0
KeepAliveTimeout 3600
MaxKeepAliveRequests 0
{statuses}
""")


class Caddy(Server):
    kind = "caddy"
    unlogged = frozenset({405})  # a method of more than 32 letters

    def command(self):
        return ["caddy", "run", "--adapter", "caddyfile", "--config", self.directory / "Caddyfile"]

    def environment(self):
        return {"XDG_DATA_HOME": str(self.directory), "XDG_CONFIG_HOME": str(self.directory)}

    def write_files(self):
        statuses = "\n".join(f"respond /status/{code} {code}" for code in CODES)
        self.file("Caddyfile", f"""
{{
  admin off
  auto_https off
}}
:{self.port} {{
  bind 127.0.0.1
  log {{
    output file {self.log} {{
      roll_disabled
    }}
    format json
  }}
  {statuses}
  respond 404
}}
""")

    def row(self, line):
        entry = json.loads(line)
        return entry["status"], entry["request"]["method"]


class Go(Server):
    """Go's net/http of the day: a second Traefik that answers by itself. A Go compiler would be 81 MB to fetch."""

    kind = "go"

    def __init__(self, directory, traefik_binary):
        self.binary = traefik_binary
        super().__init__(directory)

    def command(self):
        return [self.binary, f"--configFile={self.directory}/traefik.yml"]

    def write_files(self):
        self.file("traefik.yml", json.dumps({
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "entryPoints": {"web": {"address": self.address, "transport": {"respondingTimeouts": {"idleTimeout": "1h"}}}},
            "providers": {"file": {"filename": str(self.directory / "dynamic.yml")}},
            "accessLog": {"filePath": str(self.log), "format": "json", "addInternals": True},
            "ping": {"manualRouting": True}}))
        self.file("dynamic.yml", json.dumps({"http": {
            "routers": {"200": {"rule": "Path(`/status/200`)", "service": "ping@internal"},
                        "403": {"rule": "Path(`/status/403`)", "service": "ping@internal", "middlewares": ["nobody"]},
                        "503": {"rule": "Path(`/status/503`)", "service": "none"}},
            "middlewares": {"nobody": {"ipAllowList": {"sourceRange": ["192.0.2.1"]}}},
            "services": {"none": {"loadBalancer": {"servers": []}}}}}))

    def row(self, line):
        entry = json.loads(line)
        return entry["DownstreamStatus"], entry["RequestMethod"]


class Node(Server):
    kind = "node"

    def command(self):
        return ["node", DATA / "server.js", self.port, self.log]


class Gunicorn(Server):
    kind = "gunicorn"
    unlogged = frozenset({400})  # a head that it refuses

    def command(self):
        return ["gunicorn", "--bind", self.address, "--chdir", DATA, "--worker-class", "gthread", "--threads", "8",
                "--keep-alive", "3600", "--worker-tmp-dir", self.directory, "--access-logfile", self.log,
                "--access-logformat", "%(s)s %(m)s", "wsgi_server:application"]

    def environment(self):
        return {"PYTHONDONTWRITEBYTECODE": "1"}


class Tomcat(Server):
    kind = "tomcat"

    def command(self):
        return ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", f"-Dcatalina.base={self.directory}",
                "-Dcatalina.home=/usr/share/tomcat10", "-cp",
                "/usr/share/tomcat10/bin/bootstrap.jar:/usr/share/tomcat10/bin/tomcat-juli.jar",
                "org.apache.catalina.startup.Bootstrap", "start"]

    def write_files(self):
        for name in ("conf/Catalina/localhost", "temp", "webapps/ROOT/WEB-INF", "webapps/ROOT/status", "logs"):
            (self.directory / name).mkdir(parents=True)
        self.file("webapps/ROOT/status/200", "ok\n")
        self.file("webapps/ROOT/WEB-INF/rewrite.config", "RewriteRule ^/status/403$ - [F]\nRewriteRule ^/status/410$ - [G]\n")
        self.file("conf/web.xml", """<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0">
<servlet><servlet-name>default</servlet-name><servlet-class>org.apache.catalina.servlets.DefaultServlet</servlet-class></servlet>
<servlet-mapping><servlet-name>default</servlet-name><url-pattern>/</url-pattern></servlet-mapping>
</web-app>""")
        self.file("webapps/ROOT/WEB-INF/web.xml", '<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0"/>')
        self.file("conf/server.xml", f"""<Server port="-1"><Service name="Catalina">
<Connector address="127.0.0.1" port="{self.port}" protocol="HTTP/1.1" keepAliveTimeout="-1" maxKeepAliveRequests="-1"
 connectionTimeout="3600000"/>
<Engine name="Catalina" defaultHost="localhost"><Host name="localhost" appBase="webapps" autoDeploy="false">
<Context path="" docBase="ROOT"><Valve className="org.apache.catalina.valves.rewrite.RewriteValve"/></Context>
<Valve className="org.apache.catalina.valves.AccessLogValve" directory="{self.directory}" prefix="access" suffix=".log"
 fileDateFormat="" rotatable="false" buffered="false" pattern="%s %m"/>
</Host></Engine></Service></Server>""")


class HAProxy(Server):
    kind = "haproxy"

    def command(self):
        return ["haproxy", "-db", "-f", self.directory / "haproxy.cfg"]

    def lines(self):
        return [line for line in self._process.text().splitlines() if re.match(r"\d{3} ", line)]

    def write_files(self):
        statuses = "\n".join(f"  http-request return status {code} if {{ path /status/{code} }}" for code in CODES)
        self.file("haproxy.cfg", f"""
global
  log stdout format raw local0
defaults
  mode http
  option dontlognull
  timeout client 1h
  timeout http-request 1h
  timeout http-keep-alive 1h
frontend web
  bind {self.address}
  log global
  log-format "%ST %HM"
{statuses}
  http-request return status 404
""")


def all_kinds(directory, traefik_binary):
    return [Nginx(directory), Apache(directory), Caddy(directory), Go(directory, traefik_binary), Node(directory),
            Gunicorn(directory), Tomcat(directory), HAProxy(directory)]
