# SPDX-License-Identifier: Apache-2.0
"""--web.config.file: a real Prometheus scrapes over TLS with a password, and what is not right stays out."""

import crypt
import json
import signal
import subprocess

import pytest

from parts.base import wait_for
from parts.monitoring import Prometheus
from parts.upstat import Upstat


def make_certificate(directory, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", directory / f"{name}.key",
                    "-out", directory / f"{name}.pem"], check=True, capture_output=True, timeout=60)


def bcrypt(password):
    return crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=2**10)).replace("$2b$", "$2y$", 1)


class Guarded(Upstat):
    """An agent with a web configuration, asked by curl."""

    def __init__(self, binary, directory):
        self.files = directory / "web"
        self.files.mkdir()
        make_certificate(self.files, "first")
        make_certificate(self.files, "second")
        super().__init__(binary, directory, {"--web.config.file": self.files / "web.yml"})
        self.configure("first", "secret")

    def configure(self, certificate, password):
        self.write(json.dumps({"tls_server_config": {"cert_file": f"{certificate}.pem", "key_file": f"{certificate}.key"},
                               "basic_auth_users": {"prometheus": bcrypt(password)},
                               "http_server_config": {"headers": {"Strict-Transport-Security": "max-age=60"}}}))

    def write(self, text):
        (self.files / "web.yml").write_text(text)

    def curl(self, password="secret", certificate="first", scheme="https", path="/metrics", user="prometheus"):
        """(exit code, status)"""
        asked = subprocess.run(["curl", "-s", "--cacert", self.files / f"{certificate}.pem", "-u", f"{user}:{password}", "-o",
                                "/dev/null", "-w", "%{http_code}", f"{scheme}://{self.address}{path}"], capture_output=True,
                               text=True, timeout=60, check=False)
        return asked.returncode, asked.stdout

    def ready(self):
        return self.curl(path="/-/ready") in ((0, "200"), (0, "503"))  # there may be no Traefik

    def reload(self, said):
        before = self.log.count(said)
        self.process.send(signal.SIGHUP)
        wait_for(lambda: self.log.count(said) > before, 30, said)


@pytest.fixture
def guarded(stack, tmp_path, upstat_binary):
    return stack.enter_context(Guarded(upstat_binary, tmp_path))


def prometheus(guarded, tmp_path, password, name):
    return Prometheus(tmp_path, [guarded.address], interval="2s", name=name, scrape={
        "scheme": "https", "tls_config": {"ca_file": str(guarded.files / "first.pem")},
        "basic_auth": {"username": "prometheus", "password": password}})


def test_prometheus_scrapes_over_tls_with_a_password(guarded, stack, tmp_path):
    right = stack.enter_context(prometheus(guarded, tmp_path, "secret", "right"))
    wrong = stack.enter_context(prometheus(guarded, tmp_path, "Secret", "wrong"))
    wait_for(lambda: right.health() == [("up", "")], 60, lambda: f"the right one is up: {right.health()}")
    wait_for(lambda: wrong.health()[0][0] == "down", 60, lambda: f"the wrong one is down: {wrong.health()}")
    assert "401" in wrong.health()[0][1]


def test_what_is_not_right_stays_out(guarded):
    assert guarded.curl() == (0, "200")
    assert guarded.curl(password="wrong") == (0, "401")
    assert guarded.curl(user="nobody") == (0, "401")
    assert guarded.curl(password="wrong", path="/-/healthy") == (0, "401"), "the probes too"
    code, status = guarded.curl(scheme="http")
    assert code != 0 and status == "000", "plain HTTP is not spoken there"
    assert guarded.curl(certificate="second")[0] == 60, "the agent has no such certificate"
    asked = subprocess.run([guarded.binary, "status", "--web.listen-address", guarded.address, "--web.config.file",
                            guarded.files / "web.yml"], capture_output=True, text=True, timeout=60, check=False)
    assert asked.returncode == 1 and "speaks TLS" in asked.stderr


def test_a_reload_takes_the_new_files_or_none(guarded):
    guarded.write("tls_server_config:\n  cert_file: first.pem\n  key_file: second.key\n")
    guarded.reload("all goes on as before")
    assert "web.yml:1: the certificate and its key cannot be used together" in guarded.log
    assert guarded.curl() == (0, "200")
    guarded.write("{}")
    guarded.reload("all goes on as before")
    assert "TLS of the web server cannot begin or end" in guarded.log
    assert guarded.curl() == (0, "200")

    guarded.configure("second", "other")
    guarded.reload("the settings are reloaded")
    assert guarded.curl()[0] == 60
    assert guarded.curl(certificate="second") == (0, "401")
    assert guarded.curl(certificate="second", password="other") == (0, "200")
