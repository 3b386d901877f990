# SPDX-License-Identifier: Apache-2.0
"""A short soak, and two CPUs that deliver to one socket at once."""

import json
import os
import subprocess
from collections import Counter

import yaml

from conftest import BUILD, HERE
from parts.base import Part, unique_name
from parts.cgroup import Cgroup
from parts.exposition import select, total
from parts.upstat import Bpffs, Upstat

SERVER = "10.99.0.2:80"


def test_a_short_soak(capfd):
    """300,000 answers over a network that loses 3 % each way, 20 kills: 0 missed, 0 doubled."""
    command = [HERE / "soak" / "run", "--answers", "300000", "--kills", "20", "--agents", "2", "--bound", "180"]
    status = subprocess.run([str(word) for word in command], check=False).returncode
    figures, _ = capfd.readouterr()
    with capfd.disabled():
        print(f"\n{figures}")
    assert status == 0, figures


class Overlap(Part):
    """`soak overlap` in a cgroup and a network namespace of its own."""

    def __init__(self, cgroup, connections, requests):
        self._command = cgroup.inside(["unshare", "--net", str(BUILD / "soak"), "overlap", "--cgroup", str(cgroup.path),
                                       "--connections", str(connections), "--requests", str(requests)])
        self._child = None

    def start(self):
        self._child = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._child.stdout.readline() == "attach\n"

    def stop(self):
        if self._child:
            self._child.kill()
            self._child.communicate()

    def finish(self, bound):
        """What it saw, once it was told that the agent's programs are there too."""
        said, _ = self._child.communicate("attached\n", timeout=bound)
        assert self._child.returncode == 0, said
        return json.loads(said)


def test_two_cpus_deliver_to_one_socket_at_once(tmp_path, capfd):
    """Answers whose segments two CPUs bring at the same moment are counted once each; and the programs did overlap."""
    backends = tmp_path / "backends.yml"
    backends.write_text(yaml.safe_dump({"backends": {"all": [f"http://{SERVER}"]}}))
    with Bpffs(), Cgroup(unique_name("upstat-overlap")) as cgroup, Overlap(cgroup, 10, 3000) as overlap:
        flags = {"--traefik.cgroup": cgroup.path, "--backends.file": backends}
        with Upstat(os.environ.get("UPSTAT_BINARY", BUILD / "upstat"), tmp_path, flags) as agent:
            seen = overlap.finish(120)
            agent.settle()
            samples = agent.samples()
    with capfd.disabled():
        print(f"\n{seen['requests']} requests, {seen['overlaps']} overlaps of two CPUs in one socket's programs")
    answers = Counter({f"{s.labels['code']} {s.labels['method']}": int(s.value)
                       for s in select(samples, "upstat_server_responses_total", server=SERVER) if s.value})
    assert answers == Counter(seen["answers"])
    assert total(samples, "upstat_server_requests_total", server=SERVER) == seen["requests"]
    assert total(samples, "upstat_server_unanswered_total", server=SERVER) == 0
    assert seen["overlaps"] > 0
