# SPDX-License-Identifier: Apache-2.0
"""An unprivileged user with a program called traefik changes nothing of what is counted and said of the real one."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from parts import counts
from parts.base import Process, free_port, get_json, wait_for
from parts.cgroup import Cgroup
from parts.exposition import select
from parts.load import Clients, mix
from parts.namespace import PidNamespace
from parts.rig import Rig
from parts.upstat import Upstat

STRANGER = 1000

SERVER = r"""
use IO::Socket::INET;
my ($port, $body) = @ARGV;
my $listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port", Listen => 50, ReuseAddr => 1) or die $!;
while (my $client = $listener->accept) {
    while (<$client>) { last if /^\r?$/ }
    print $client "HTTP/1.0 200 OK\r\n\r\n$body";
    close $client;
}
"""


def spoken(backends):
    """What Traefik's API would say."""
    return json.dumps({"services": {name: {"loadBalancer": {"servers": [{"url": url}]}} for name, url in backends.items()}})


@pytest.fixture
def stranger(stack, tmp_path):
    """stranger(space, body): a renamed perl of her own in a cgroup of hers, whose API says `body`."""

    def start(space, body):
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="upstat-test-")))  # tmp_path is root's alone
        home.chmod(0o755)
        shutil.copy("/usr/bin/perl", home / "traefik")
        (home / "server.pl").write_text(SERVER)
        port = free_port()
        cgroup = stack.enter_context(Cgroup())
        command = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", home / "traefik",
                   home / "server.pl", port, body, f"--entrypoints.traefik.address=127.0.0.1:{port}"]
        process = Process("stranger", space.inside(cgroup.inside([str(word) for word in command])), tmp_path)
        stack.callback(process.stop)
        process.start()
        wait_for(cgroup.pids, 10, lambda: process.text())
        return cgroup

    return start


def test_her_api_is_not_believed(stack, upstat_binary, traefik_binary, tmp_path, stranger):
    space = stack.enter_context(PidNamespace())
    rig = Rig(tmp_path, traefik_binary)
    rig.traefik.enter(space)
    stack.enter_context(rig)
    hers = stranger(space, spoken({"four@file": "http://127.0.0.1:1", "hers@file": "http://127.0.0.1:2"}))
    upstat = Upstat(upstat_binary, tmp_path)
    upstat.process.command = space.inside(upstat.process.command)
    stack.enter_context(upstat)

    Clients(rig.traefik.url, mix(rig.services, 300, seed=2), clients=3).run()
    rows = rig.nginx.wait_for_rows(300)
    upstat.wait_for_counts(counts.by_service(counts.of_nginx(rows), rig.traefik.listed_services()), upstat.backend_counts)
    listed = {(sample.labels["backend"], sample.labels["server"])
              for sample in select(upstat.samples(), "upstat_backend_server_info")}
    assert listed == {(name, server) for name, servers in rig.traefik.listed_services().items() for server in servers}

    seen = [one for one in get_json(f"{upstat.url}/api/v1/status")["traefiks"] if not one["attached"]]
    assert [one["cgroup"] for one in seen] == [str(hers.path)]
    said = subprocess.run([upstat_binary, "status", f"--web.listen-address={upstat.address}"], capture_output=True, text=True,
                          timeout=30, check=True).stdout
    assert "NOT COUNTED" in said and f"of user {STRANGER} is not counted" in said
    assert f"--traefik.allow=system,containers,{STRANGER}" in said
    assert upstat.log.count(f"of user {STRANGER} is not counted") == 1


def test_her_traefik_alone_stops_no_start(stack, upstat_binary, tmp_path, stranger):
    """The agent waits for a real one, as if hers was not there."""
    space = stack.enter_context(PidNamespace())
    stranger(space, spoken({}))
    upstat = Upstat(upstat_binary, tmp_path)
    upstat.process.command = space.inside(upstat.process.command)
    stack.enter_context(upstat)
    assert "no Traefik runs on this host" in upstat.log


def test_she_is_counted_where_she_is_allowed(stack, upstat_binary, tmp_path, stranger):
    """By name: her perl is no Traefik by its build information, so --traefik.allow alone does not do."""
    space = stack.enter_context(PidNamespace())
    hers = stranger(space, spoken({"hers@file": "http://127.0.0.1:2"}))
    upstat = Upstat(upstat_binary, tmp_path, {"--traefik.cgroup": hers.path})
    upstat.process.command = space.inside(upstat.process.command)
    stack.enter_context(upstat)
    wait_for(lambda: select(upstat.samples(), "upstat_backend_server_info", backend="hers@file"), 10, lambda: upstat.log)
