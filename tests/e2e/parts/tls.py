# SPDX-License-Identifier: Apache-2.0
"""A certificate authority, and the parts that it makes https."""

import json
import ssl
import subprocess
import urllib.error
import urllib.request

from .monitoring import Alertmanager, Pushgateway

PASSWORD = "pass@word"
_BCRYPT = "$2b$04$LbuNfk4hfS1f/Czm6eaQveeFhTdB9Q1M1sHrj5/3rWlZmjDRndxUi"  # of PASSWORD


class Authority:
    """Its certificate is `ca`; issue() makes others by it."""

    def __init__(self, directory):
        self.directory = directory
        self.ca = directory / "ca.pem"
        self._key = directory / "ca.key"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                      "-keyout", self._key, "-out", self.ca, "-subj", "/CN=upstat's tests")

    def issue(self, name, usage):
        """(certificate, key) of 127.0.0.1 and localhost; usage: serverAuth or clientAuth."""
        certificate, key, request, more = (self.directory / f"{name}.{end}" for end in ("pem", "key", "csr", "ext"))
        more.write_text(f"subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage={usage}\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", request,
                      "-subj", f"/CN={name}")
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key, "-CAcreateserial", "-days", "2",
                      "-extfile", more, "-out", certificate)
        return certificate, key

    def _openssl(self, *words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)


class _Https:
    """Beside a part of monitoring.py: its page is https, and asks for a certificate as `client` (and its key) is, or for me's PASSWORD."""

    def secure(self, authority, client=None, password=False):
        certificate, key = authority.issue(self.name, "serverAuth")
        self.url = f"https://{self.address}"
        self._context = ssl.create_default_context(cafile=str(authority.ca))
        tls = {"cert_file": str(certificate), "key_file": str(key)}
        configuration = {"tls_server_config": tls}
        if client:
            tls |= {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": str(authority.ca)}
            self._context.load_cert_chain(*client)
        if password:
            configuration["basic_auth_users"] = {"me": _BCRYPT}
        self._file = authority.directory / f"{self.name}-web.json"
        self._file.write_text(json.dumps(configuration))
        return self

    def command(self):
        return [*super().command(), f"--web.config.file={self._file}"]

    def ready(self):
        try:
            with urllib.request.urlopen(self.url + self.ready_path, timeout=10, context=self._context) as response:
                return response.status == 200
        except urllib.error.HTTPError as error:
            return error.code == 401  # the password is the agent's alone


class HttpsAlertmanager(_Https, Alertmanager):
    pass


class HttpsPushgateway(_Https, Pushgateway):
    pass
