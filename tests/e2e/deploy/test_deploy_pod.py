# SPDX-License-Identifier: Apache-2.0
"""The pods of deploy/kubernetes in podman: with the security context, network, mounts and limits that kubectl renders,
beside a Traefik in a container of its own."""

import contextlib
import re
import shlex
from pathlib import Path

import pytest

from conftest import TOP
from containers import Composed, Container, flags_of
from fixtures import IMAGE, documents_of, kube, render, servers, store, traefik  # noqa: F401
from machine import InNetwork
from parts import counts
from parts.base import unique_name, wait_for
from parts.exposition import select
from parts.load import Clients, Wrk, bulk_mix, mix
from parts.traefik import Traefik
from parts.upstat import Upstat
from test_deploy_kubernetes import CAPABILITIES, LEAST

PLAN = 1000
BULK = 4000
BITS = {"DAC_READ_SEARCH": 2, "SETGID": 6, "SETUID": 7, "NET_ADMIN": 12, "SYS_PTRACE": 19, "SYS_ADMIN": 21, "PERFMON": 38, "BPF": 39}


class Pod(Upstat):
    """The agent of a DaemonSet, whose pages are asked in the network that it has."""

    def __init__(self, store, documents, directory, binary):
        (directory / "state").mkdir()
        flags = flags_of(documents, directory, {"/var/lib/upstat": directory / "state"})
        own = "--net=none" in flags
        # Each run has pins and, in the host's network, a port of its own.
        super().__init__(binary, directory, address="127.0.0.1:9479" if own else None)
        agent, = documents["DaemonSet"]["spec"]["template"]["spec"]["containers"]
        address = [] if own else [f"--web.listen-address={self.address}"]
        self.process.command = ["upstat", *agent["args"], f"--bpf.pin-path={self.pin_path}", "--poll.interval=200ms",
                                "--log.level=debug", *address]
        self.home = Container(store, IMAGE, *flags, "-e", "UPSTAT_PUSH_INSTANCE=node-1", "-e", "UPSTAT_METRICS_ZERO_FOR=0", privileged=False)
        self.process.cgroup = self.home
        self._own = own

    def pid(self):
        pid = self.home.store.run("inspect", "--format={{.State.Pid}}", self.home.name, check=False).strip()
        if not pid.isdigit() or pid == "0":
            raise OSError(f"the container does not run yet: {pid}")
        return int(pid)

    def network(self):
        return InNetwork(self.pid()) if self._own else contextlib.nullcontext()

    def ready(self):
        with self.network():
            return super().ready()

    def samples(self):
        with self.network():
            return super().samples()


@pytest.mark.parametrize("directory", ["base", "overlays/privileged", "overlays/least"])
def test_a_pod_counts_with_what_it_may_do(stack, tmp_path, store, servers, traefik, upstat_binary, render, directory):
    agent = stack.enter_context(Pod(store, documents_of(render(directory)), tmp_path, upstat_binary))
    status = Path(f"/proc/{agent.pid()}/status").read_text()
    if directory != "overlays/privileged":
        effective = int(re.search(r"^CapEff:\t(\w+)$", status, re.M)[1], 16)
        wanted = LEAST if directory == "overlays/least" else CAPABILITIES
        assert effective == sum(1 << BITS[name] for name in wanted)
        assert directory == "overlays/least" or re.search(r"^Seccomp:\t2$", status, re.M), "the runtime's default profile"

    Wrk(tmp_path, traefik.url, bulk_mix(traefik.services), each=BULK // 4, connections=4).run()
    Clients(traefik.url, mix(list(traefik.services), PLAN), clients=4).run()
    rows = servers.wait_for_rows(BULK + PLAN)
    assert len(rows) == BULK + PLAN
    logged = counts.of_nginx(rows)
    ours = {*servers.servers, *traefik.listed_services()}

    def mine(counted):  # the agent finds every Traefik of this host, also those of other tests
        return {key: count for key, count in counted.items() if key[0] in ours}
    agent.wait_for_counts(logged, lambda: mine(agent.server_counts()))
    agent.wait_for_counts(counts.by_service(logged, traefik.listed_services()), lambda: mine(agent.backend_counts()))
    assert {sample.labels["agent"] for sample in select(agent.samples(), "upstat_backend_server_info")} == {"node-1"}


def test_the_detach_job_leaves_nothing(stack, tmp_path, store, servers, traefik, upstat_binary, render):
    """On pins of the test's own; the job itself names none."""
    agent = stack.enter_context(Pod(store, documents_of(render("base")), tmp_path, upstat_binary))
    assert agent.pin_path.exists()
    agent.process.stop()
    wait_for(lambda: not store.run("ps", "--quiet", f"--filter=name={agent.home.name}").strip(), 20, "the pod is gone")
    assert agent.pin_path.exists() and any((tmp_path / "state").iterdir()), "it left its programs counting"

    job = documents_of(render("detach"))["Job"]["spec"]["template"]["spec"]
    flags = flags_of({"DaemonSet": {"spec": {"template": {"spec": job}}}}, tmp_path, {"/var/lib/upstat": tmp_path / "state"})
    program, *words = job["containers"][0]["command"]
    words[-1] = words[-1].replace("upstat detach", f"upstat detach --bpf.pin-path={agent.pin_path}")
    done = store.run("run", "--rm", *store.limits, *flags, f"--entrypoint={program}", IMAGE, *words)
    assert "took upstat's programs and maps off" in done
    assert not agent.pin_path.exists() and not any((tmp_path / "state").iterdir())


@pytest.mark.parametrize("way", ["compose", "podman run"])
def test_beside_a_composed_traefik(stack, tmp_path, store, kube, servers, traefik_binary, upstat_binary, way):
    """With compose.yml, or the line of deploy/README.md."""
    binary = Path(traefik_binary).resolve()
    services = {unique_name("four"): servers.servers[:1], unique_name("both"): servers.servers[1:]}
    own = {"image": IMAGE, "network_mode": "host", "entrypoint": ["/usr/bin/traefik"],
           "volumes": [f"{tmp_path}:{tmp_path}", f"{binary}:/usr/bin/traefik:ro"]}
    home = stack.enter_context(Composed(store, kube, tmp_path, "traefik", own))
    traefik = stack.enter_context(Traefik(binary, tmp_path, home, {
        name: [servers.url(server) for server in listed] for name, listed in services.items()}))

    agent = Upstat(upstat_binary, tmp_path)
    mine = {"UPSTAT_METRICS_ZERO_FOR": "0", "UPSTAT_POLL_INTERVAL": "200ms", "UPSTAT_BPF_PIN_PATH": str(agent.pin_path),
            "UPSTAT_WEB_LISTEN_ADDRESS": agent.address}
    if way == "compose":
        agent.process.command = ["upstat"]
        agent.process.cgroup = Composed(store, kube, tmp_path, "upstat", {"image": IMAGE, "environment": mine},
                                        files=[TOP / "deploy/compose/compose.yml"])
        stack.enter_context(agent.process.cgroup)
    else:
        line = shlex.split(re.search(r"(?s)    podman run -d --name upstat (.*?)localhost/upstat:latest",
                                     (TOP / "deploy/README.md").read_text())[1].replace("\\\n", " "))
        variables = [word for name, value in mine.items() for word in ("-e", f"{name}={value}")]
        agent.process.cgroup = stack.enter_context(Container(store, IMAGE, *line, *variables, privileged=False))
        agent.process.command = ["upstat", "run"]
    stack.enter_context(agent)
    stack.callback(agent.process.cgroup.stop)  # podman-compose itself leaves its containers running
    Clients(traefik.url, mix(list(traefik.services), PLAN), clients=4).run()
    logged = counts.of_nginx(servers.wait_for_rows(PLAN))
    wanted = counts.by_service(logged, traefik.listed_services())
    agent.wait_for_counts(wanted, lambda: {key: count for key, count in agent.backend_counts().items() if key[0] in traefik.listed_services()})
