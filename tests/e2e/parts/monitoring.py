# SPDX-License-Identifier: Apache-2.0
"""Prometheus, Pushgateway and Alertmanager, and a webhook that hears what Alertmanager says."""

import http.server
import json
import threading
import urllib.parse
from pathlib import Path

from .base import Part, Process, free_port, get, get_json, status_of
from .exposition import parse, total


class _Server(Part):
    """A process with one HTTP port and a page that tells when it is ready."""

    ready_path = "/-/ready"

    def __init__(self, name, directory):
        self.directory = Path(directory) / name
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"
        self.name = name
        self._process = None

    def command(self):
        raise NotImplementedError

    def start(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        self._process = Process(self.name, self.command(), self.directory.parent)
        self._process.start()
        self._process.ready_when(self.ready, 30, f"{self.name} is ready")

    def ready(self):
        return status_of(self.url + self.ready_path) == 200

    def stop(self):
        if self._process:
            self._process.stop()


class Prometheus(_Server):
    """targets: addresses to scrape, all as one job, or whole scrape configurations; rules: files; alertmanagers: addresses
    to tell; scrape: more keys of the one job."""

    def __init__(self, directory, targets, rules=(), interval="500ms", name="prometheus", alertmanagers=(), external_labels=None,
                 scrape=None):
        super().__init__(name, directory)
        # A Pushgateway's series keep the labels of their group, as its manual says.
        job = {"job_name": "upstat", "honor_labels": True, "static_configs": [{"targets": targets}], **(scrape or {})}
        self.scrape_configs = targets if isinstance(targets[0], dict) else [job]
        self.alertmanagers = list(alertmanagers)
        self.external_labels = external_labels or {}
        self.rules = [str(rule) for rule in rules]
        self.interval = interval
        self.scrape = scrape or {}

    def command(self):
        configuration = {
            "global": {"scrape_interval": self.interval, "scrape_timeout": self.interval, "evaluation_interval": self.interval,
                       "external_labels": self.external_labels},
            "rule_files": self.rules,
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": self.alertmanagers}]}]},
            "scrape_configs": self.scrape_configs,
        }
        (self.directory / "prometheus.yml").write_text(json.dumps(configuration, indent=1))
        return ["prometheus", f"--config.file={self.directory}/prometheus.yml", f"--storage.tsdb.path={self.directory}/data",
                f"--web.listen-address={self.address}"]

    def health(self):
        """[(health, last error)] of the targets."""
        return [(target["health"], target["lastError"]) for target in get_json(f"{self.url}/api/v1/targets")["data"]["activeTargets"]]

    def alerts(self):
        """[{labels, annotations, state, activeAt, value}] of the pending and firing ones."""
        return get_json(f"{self.url}/api/v1/alerts")["data"]["alerts"]

    def query(self, expression):
        """What an instant query gives: [{metric, value or values}]."""
        return get_json(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")["data"]["result"]

    def value(self, name):
        """The sum of a metric of its own page."""
        return total(parse(get(f"{self.url}/metrics")), name)

    def rule(self, name):
        """What Prometheus has understood of a rule."""
        groups = get_json(f"{self.url}/api/v1/rules")["data"]["groups"]
        return next(rule for group in groups for rule in group["rules"] if rule["name"] == name)


class Pushgateway(_Server):
    def __init__(self, directory, name="pushgateway"):
        super().__init__(name, directory)

    def command(self):
        # Debian's keeps its groups in /var/lib/prometheus otherwise, for the next one to find.
        return ["prometheus-pushgateway", f"--web.listen-address={self.address}", "--persistence.file="]

    def samples(self):
        return parse(get(f"{self.url}/metrics"))


class Alertmanager(_Server):
    """receiver: the URL of a webhook that is told of each alert and of its end."""

    def __init__(self, directory, receiver=None, name="alertmanager"):
        super().__init__(name, directory)
        self.receiver = receiver

    def command(self):
        hooks = [{"url": self.receiver, "send_resolved": True}] if self.receiver else []
        configuration = {
            "route": {"receiver": "tests", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"},
            "receivers": [{"name": "tests", "webhook_configs": hooks}],
        }
        (self.directory / "alertmanager.yml").write_text(json.dumps(configuration, indent=1))
        return ["prometheus-alertmanager", f"--config.file={self.directory}/alertmanager.yml",
                f"--storage.path={self.directory}/data", f"--web.listen-address={self.address}", "--cluster.listen-address="]

    def alerts(self):
        """Those that are not resolved."""
        return get_json(f"{self.url}/api/v2/alerts")

    def samples(self):
        return parse(get(f"{self.url}/metrics"))


class Webhook(Part):
    """Keeps every alert that Alertmanager notifies of, in order."""

    def __init__(self):
        self.heard = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.heard.extend(body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def start(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
