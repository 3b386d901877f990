# SPDX-License-Identifier: Apache-2.0
"""The image of deploy/image in podman, as Kubernetes would run it, beside a Traefik in a container of its own."""

import subprocess
from collections import Counter

import pytest

from conftest import TOP
from containers import Container
from fixtures import IMAGE, servers, store, traefik  # noqa: F401
from parts import counts
from parts.base import unique_name, wait_for
from parts.load import Clients, Wrk, bulk_mix, mix
from parts.monitoring import Pushgateway
from parts.upstat import BPFFS, Upstat, detach

PLAN = 1000
BULK = 4000


@pytest.mark.parametrize("namespace", ["host", "private"])
def test_counts_and_pushes(stack, tmp_path, store, servers, traefik, upstat_binary, namespace):
    """The volumes are those of deploy/kubernetes/daemonset.yaml; the cgroup namespace is the runtime's choice there."""
    gateway = stack.enter_context(Pushgateway(tmp_path))
    home = stack.enter_context(Container(
        store, IMAGE, "--net=host", "--pid=host", f"--cgroupns={namespace}", "--read-only", "-e", "UPSTAT_PUSH_INSTANCE=node-1",
        "-v", "/sys/fs/bpf:/sys/fs/bpf", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:ro", "-v", f"{tmp_path}/state:/var/lib/upstat"))
    (tmp_path / "state").mkdir()
    agent = Upstat(upstat_binary, tmp_path, {"--state.path": "/var/lib/upstat", "--push.url": gateway.url, "--push.interval": "1s",
                                             "--metrics.zero-for": "0"})
    agent.process.cgroup = home
    stack.enter_context(agent)
    sent = 0

    def ours(counted):
        return Counter({key: count for key, count in counted.items() if key[0] in {*servers.servers, *traefik.listed_services()}})

    def expect(requests):
        rows = servers.wait_for_rows(requests)
        assert len(rows) == requests
        logged = counts.of_nginx(rows)
        by_service = counts.by_service(logged, traefik.listed_services())
        agent.wait_for_counts(logged, lambda: ours(agent.server_counts()))
        agent.wait_for_counts(by_service, lambda: ours(agent.backend_counts()))
        agent.wait_for_counts(by_service, lambda: ours(counts.of_upstat_backends(gateway.samples())))

    Wrk(tmp_path, traefik.url, bulk_mix(traefik.services), each=BULK // 4, connections=4).run()
    Clients(traefik.url, mix(list(traefik.services), PLAN), clients=4).run()
    sent += BULK + PLAN
    expect(sent)
    groups = {(sample.labels["job"], sample.labels["instance"]) for sample in gateway.samples()
              if sample.name == "push_time_seconds"}
    assert groups == {("upstat-push", "node-1")}

    # Another Traefik container is another cgroup, as another pod is.
    traefik.stop()
    traefik.start()
    Clients(traefik.url, mix(list(traefik.services), PLAN, seed=2), clients=4).run()
    sent += PLAN
    expect(sent)

    # The agent's container is replaced; the kernel counts meanwhile.
    agent.process.stop()
    wait_for(lambda: not [s for s in gateway.samples() if s.name == "push_time_seconds"], 10, "a clean exit deletes the group")
    Clients(traefik.url, mix(list(traefik.services), PLAN, seed=3), clients=4).run()
    agent.start()
    sent += PLAN
    expect(sent)


def test_the_init_container_mounts_a_bpffs_where_there_is_none(store):
    """Its own script, from the manifest, in a container whose /sys/fs/bpf is an empty directory."""
    manifest = (TOP / "deploy/kubernetes/overlays/privileged/daemonset.yaml").read_text()
    script = manifest.split("- -ec\n            - |\n")[1].split("          securityContext:")[0]
    types = 'while read -r _ point type _; do case $point in /sys/fs/bpf) echo "$type";; esac; done </proc/mounts'

    def mounts(before):
        return store.run("run", "--rm", *Container(store, IMAGE).flags, "--net=none", "--entrypoint=/usr/bin/sh", IMAGE,
                         "-ec", f"{before}\n({script})\n({script})\n{types}").split()

    assert mounts("") == ["bpf"]
    assert mounts("mount -t bpf bpf /sys/fs/bpf") == ["bpf"]


def test_what_is_in_it(store):
    assert store.run("run", "--rm", *Container(store, IMAGE).flags, "--net=none", IMAGE, "version").startswith("upstat ")
    size = int(store.run("image", "inspect", "--format={{.Size}}", IMAGE))
    assert size < 60_000_000, f"the image has {size} bytes"
    listing = store.run("run", "--rm", *Container(store, IMAGE).flags, "--net=none", "--entrypoint=/usr/bin/sh", IMAGE, "-c",
                        "echo /var/lib/dpkg/status.d/* /usr/share/doc/*/copyright")
    for package in ("libc6", "libcurl4", "libbpf1", "ca-certificates"):
        assert f"/status.d/{package} " in listing and f"/doc/{package}/copyright" in listing


def test_it_says_what_the_container_lacks(stack, store, upstat_binary):
    """Without the node's cgroups: one sentence with the way out, and exit 3."""
    pins = BPFFS / unique_name()
    stack.callback(detach, upstat_binary, pins)
    bare = ["run", "--rm", *Container(store, IMAGE).flags, "--net=host", "--pid=host", "-v", "/sys/fs/bpf:/sys/fs/bpf", IMAGE]
    done = subprocess.run(store.podman(*bare, "run", f"--bpf.pin-path={pins}"), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3 and "no cgroup v2 is mounted" in done.stderr and "HINT" in done.stderr, done.stderr
