# SPDX-License-Identifier: Apache-2.0
"""Where Traefik's API is, and what is shown where there is none."""

import pytest

from parts import counts
from parts.base import free_port, get, wait_for
from parts.cgroup import Cgroup
from parts.exposition import select, total
from parts.load import Clients, Request
from parts.nginx import Nginx
from parts.rig import Rig
from parts.traefik import Traefik
from parts.upstat import Upstat

QUICK = {"--alert.window": "5s", "--alert.for": "1s", "--poll.interval": "1s"}
HOST = "dashboard.example.com"


class SecureTraefik(Traefik):
    """Its API as the documentation has it for production: a router with a Host rule and TLS. The certificate is the one that
    Traefik makes where nobody gave it one."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.close()
        self.secure = f"127.0.0.1:{free_port()}"

    def _static(self):
        static = super()._static()
        static["api"] = {"dashboard": True}
        static["entryPoints"]["websecure"] = {"address": self.secure}
        return static

    def _dynamic(self):
        dynamic = super()._dynamic()
        dynamic["http"]["routers"]["dashboard"] = {
            "rule": f"Host(`{HOST}`)", "service": "api@internal", "entryPoints": ["websecure"], "tls": {}}
        return dynamic


def ask(rig_or_traefik, services, each=20):
    mix = [Request(f"/{service}/status/{code}") for service in services for code in (200, 404)]
    Clients(rig_or_traefik.url, mix * each, clients=2).run()
    return len(mix) * each


def listed(upstat):
    return {sample.labels["backend"] for sample in select(upstat.samples(), "upstat_backend_server_info")}


def test_without_an_api_each_server_is_shown_and_judged_by_its_address(stack, tmp_path, traefik_binary, upstat_binary):
    """None of the requests that reach a server is upstat's own."""
    rig = Rig(tmp_path, traefik_binary)
    rig.traefik.close()
    stack.enter_context(rig)
    upstat = stack.enter_context(Upstat(upstat_binary, tmp_path, {"--traefik.pid": rig.traefik.pid, **QUICK}))
    sent = ask(rig.traefik, rig.services)
    wanted = counts.of_nginx(rig.nginx.wait_for_rows(sent))
    upstat.wait_for_counts(wanted, upstat.backend_counts)
    upstat.wait_for_counts(wanted)
    assert listed(upstat) == set(rig.nginx.servers)
    wait_for(lambda: ask(rig.traefik, rig.services, 2) and upstat.alert(rig.nginx.servers[0])[0] == "firing", 60, "an alert of a server",
             interval=0.3)
    upstat.settle()
    assert len(rig.nginx.rows()) == total(upstat.samples(), "upstat_server_responses_total")
    assert "ready, but no backend is known" in get(f"{upstat.url}/-/ready")
    status = upstat.ask("status")
    assert "--api.insecure" in status and "--backends.file" in status
    assert upstat.log.count("no backend is known") == 1


def test_an_api_behind_a_host_rule_and_traefiks_own_certificate(stack, tmp_path, traefik_binary, upstat_binary):
    nginx = stack.enter_context(Nginx(tmp_path, ("127.0.0.1",)))
    cgroup = stack.enter_context(Cgroup())
    traefik = stack.enter_context(SecureTraefik(traefik_binary, tmp_path, cgroup, {"shop": [nginx.url(nginx.servers[0])]}))
    flags = {"--traefik.pid": traefik.pid, "--traefik.api": f"https://{traefik.secure}", "--traefik.api.host": HOST,
             "--traefik.api.insecure-skip-verify": "true"}
    upstat = stack.enter_context(Upstat(upstat_binary, tmp_path, flags))
    wait_for(lambda: listed(upstat) == {"shop@file"}, 20, lambda: upstat.log)
    sent = ask(traefik, ["shop"])
    rows = nginx.wait_for_rows(sent)
    upstat.wait_for_counts(counts.by_service(counts.of_nginx(rows), traefik.listed_services()), upstat.backend_counts)
    assert len(nginx.rows()) == sent


@pytest.mark.parametrize("missing", ["--traefik.api.host", "--traefik.api.insecure-skip-verify"])
def test_either_setting_is_needed(stack, tmp_path, traefik_binary, upstat_binary, missing):
    cgroup = stack.enter_context(Cgroup())
    traefik = stack.enter_context(SecureTraefik(traefik_binary, tmp_path, cgroup, {"shop": ["http://127.0.0.1:1"]}))
    flags = {"--traefik.pid": traefik.pid, "--traefik.api": f"https://{traefik.secure}", "--traefik.api.host": HOST,
             "--traefik.api.insecure-skip-verify": "true"}
    del flags[missing]
    upstat = stack.enter_context(Upstat(upstat_binary, tmp_path, flags))
    wait_for(lambda: "Traefik's API: " in upstat.log, 20, lambda: upstat.log)
    assert listed(upstat) == set()


def test_the_successor_of_a_named_process_is_followed(stack, tmp_path, traefik_binary, upstat_binary):
    """In the same cgroup, as after `systemctl restart traefik`: its API is found and asked as before."""
    rig = stack.enter_context(Rig(tmp_path, traefik_binary, ("127.0.0.1", "127.0.0.1"), {"shop": [0]}))
    upstat = stack.enter_context(Upstat(upstat_binary, tmp_path, {"--traefik.pid": rig.traefik.pid}))
    wait_for(lambda: listed(upstat) == {"shop@file"}, 20, lambda: upstat.log)
    rig.traefik.kill()
    wait_for(lambda: total(upstat.samples(), "upstat_traefik_up") == 0, 20, "it is said to be gone")
    assert not select(upstat.samples(), "traefik_backend_server_up")
    rig.traefik.services = {**rig.traefik.services, "blog": [rig.nginx.url(rig.nginx.servers[1])]}
    rig.traefik.start()
    wait_for(lambda: listed(upstat) == {"shop@file", "blog@file"}, 20, lambda: upstat.log)
    assert total(upstat.samples(), "upstat_traefik_up") == 1
    sent = ask(rig.traefik, ["shop", "blog"])
    rows = rig.nginx.wait_for_rows(sent)
    upstat.wait_for_counts(counts.by_service(counts.of_nginx(rows), rig.traefik.listed_services()), upstat.backend_counts)
