# SPDX-License-Identifier: Apache-2.0
"""The agent is killed before each system call by which a start or a detach changes what is on the host. The next start puts
right whatever that leaves, and counts on."""

import os
import re
import subprocess
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from agents import OWN, check_attached, forget, run_again, set_command
from conftest import Bench, Server
from parts.base import wait_for
from parts.exposition import total
from test_layout import other  # noqa: F401 # a fixture

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CALLS = "bpf,mkdir,mkdirat,unlink,unlinkat,rmdir"
# What bpf(2) does to the host, as opposed to descriptors, which end with the process.
CHANGES = re.compile(r"bpf\((BPF_OBJ_PIN|BPF_LINK_CREATE|BPF_LINK_UPDATE|BPF_MAP_UPDATE_ELEM)|(mkdir|unlink|rmdir)")
SMALL = {"--bpf.totals-size": 64, "--bpf.requests-size": 16}  # quick to make


class Step:
    """The n-th call of one kind that a command makes."""

    def __init__(self, call, n, text):
        self.call, self.n, self.text = call, n, text

    def __repr__(self):
        return f"{self.call} {self.n}: {self.text[:100]}"


def strace(log, command, *options):
    with open(f"{log}.err", "wb") as said:
        return subprocess.Popen(["strace", "-o", log, "-e", f"trace={CALLS}", *options, *map(str, command)],
                                stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)


def kill_traced(tracer):
    """strace would leave its child running."""
    for pid in Path(f"/proc/{tracer.pid}/task/{tracer.pid}/children").read_text().split():
        os.kill(int(pid), 9)
    tracer.wait(20)


def steps_of(log, pins):
    """The calls that change something below `pins`, each with its number among the calls of its kind."""
    numbers, steps = Counter(), []
    for line in Path(log).read_text().splitlines():
        call = line.partition("(")[0]
        numbers[call] += 1
        if CHANGES.match(line) and " = -1 " not in line and (call in ("bpf", "unlinkat") or str(pins) in line):
            steps.append(Step(call, numbers[call], line))
    return steps


class Walk:
    """One road, walked again and again to one step further."""

    def __init__(self, bench, command, prepare, done):
        self.bench, self.command, self.prepare, self.done = bench, command, prepare, done
        self.log = bench.directory / "strace.log"

    def steps(self):
        """What the road consists of, from one walk to its end."""
        self.prepare()
        tracer = strace(self.log, self.command)
        try:
            wait_for(lambda: self.done(tracer), 30, lambda: Path(f"{self.log}.err").read_text())
        finally:
            if tracer.poll() is None:
                kill_traced(tracer)
        return steps_of(self.log, self.bench.agent.pin_path)

    def cut_before(self, step):
        self.prepare()
        tracer = strace(self.log, self.command, "-e", f"inject={step.call}:signal=SIGKILL:when={step.n}")
        try:
            tracer.wait(30)
        finally:
            if tracer.poll() is None:
                kill_traced(tracer)
        text = self.log.read_text()
        assert "killed by SIGKILL" in text and CHANGES.match(text.splitlines()[-2]), f"not cut at {step}:\n{text[-500:]}"


class Stage(Bench):
    """The scripted server's bench, with an agent that may be there or not."""

    def __init__(self, stack, directory):
        super().__init__(stack, directory)
        self.agent.process.stop()
        self.agent.detach()
        set_command(self, flags=SMALL)
        self.server = Server(self)
        stack.callback(self.server.close)

    def command(self, binary=OWN):
        set_command(self, binary)
        return self.agent.process.command

    def start(self, binary=OWN):
        set_command(self, binary)
        self.agent.start()

    def stop(self):
        self.agent.process.stop()

    def ready(self, _tracer=None):
        """A poll has been made, so every step is behind the agent."""
        return self.agent.ready()

    def exchange(self, times=1):
        connection = self.server.connect()
        for _ in range(times):
            connection.ask()
            connection.answer(OK)
        connection.close()

    def counts(self):
        """requests, answers, unanswered, outstanding"""
        samples = self.page()
        return tuple(int(total(samples, f"upstat_server_{name}", server=self.server.label)) for name in (
            "requests_total", "responses_total", "unanswered_total", "outstanding_requests"))


@pytest.fixture
def stage(tmp_path):
    with ExitStack() as stack:
        yield Stage(stack, tmp_path)


def walk(stage, road, check, at_least):
    steps = road.steps()
    assert len(steps) >= at_least, steps
    for step in steps:
        try:
            road.cut_before(step)
            check()
        except AssertionError as error:
            raise AssertionError(f"killed before {step}: {error}") from None
        finally:
            stage.stop()
    print(f"killed before each of {len(steps)} steps")


def test_a_fresh_attach(stage):
    def check():
        stage.start()
        check_attached(stage)
        stage.exchange(3)
        assert stage.counts() == (3, 3, 0, 0)

    walk(stage, Walk(stage, stage.command(), lambda: forget(stage), stage.ready), check, at_least=15)


def test_an_adoption(stage):
    """The programs are on the cgroup all the time, so every answer counts: before, while no agent is there, and after."""
    sent = 0

    def prepare():
        nonlocal sent
        stage.stop()
        sent += 1
        stage.exchange()

    def check():
        nonlocal sent
        stage.exchange()
        stage.start()
        check_attached(stage)
        stage.exchange()
        sent += 2
        assert stage.counts() == (sent, sent, 0, 0)

    stage.start()
    walk(stage, Walk(stage, stage.command(), prepare, stage.ready), check, at_least=3)


@pytest.mark.parametrize("back", [False, True])
def test_a_carry_over(stage, other, back):  # noqa: F811 # a fixture
    """To another layout; then the new agent comes back, or the old one does. Between two steps the programs on the cgroup can
    be of two layouts: then an answer is counted as never come, and the next request on its connection as not told from the
    one before. No request is lost without a trace, and none is counted twice."""
    waiting = None

    def prepare():
        nonlocal waiting
        if waiting:
            waiting.close()
        forget(stage)
        stage.start()
        stage.exchange(2)
        waiting = stage.server.connect()
        waiting.ask()
        stage.stop()

    def not_told():
        return int(total(stage.page(), "upstat_kernel_errors_total", place="framing_unknown"))

    def check():
        stage.exchange(2)  # with nobody there but the programs
        stage.start(OWN if back else other)
        check_attached(stage)
        requests, answers, unanswered, outstanding = before = stage.counts()
        untold = not_told()
        assert requests + untold == 5 and requests == answers + unanswered + outstanding, (before, untold)
        assert 1 <= unanswered + untold + outstanding <= 3, (before, untold)
        waiting.answer(OK)  # counts if the programs have not changed
        waiting.ask()
        waiting.answer(OK)
        stage.exchange(2)
        assert stage.counts() == (requests + 3, answers + outstanding + 3, unanswered, 0)
        assert not_told() == untold

    walk(stage, Walk(stage, stage.command(other), prepare, stage.ready), check, at_least=15)
    waiting.close()


def test_a_detach(stage):
    """What is left of a detach that was cut short is never gone on with: all of the counts are there, or none."""
    def prepare():
        forget(stage)
        set_command(stage, flags=SMALL)
        stage.start()
        stage.exchange(2)
        run_again(stage, flags={"--bpf.totals-size": 128})  # a second generation
        stage.exchange(2)
        stage.stop()

    def check():
        stage.start()
        check_attached(stage)
        stage.exchange()
        assert stage.counts() in [(5, 5, 0, 0), (1, 1, 0, 0)]

    command = [OWN, "detach", "--bpf.pin-path", stage.agent.pin_path]
    walk(stage, Walk(stage, command, prepare, lambda tracer: tracer.poll() is not None), check, at_least=15)


def test_a_detach_after_a_detach(stage):
    """The command itself ends what it was cut short in."""
    def prepare():
        forget(stage)
        stage.start()
        stage.stop()

    def check():
        stage.agent.detach()  # which looks that nothing is left

    command = [OWN, "detach", "--bpf.pin-path", stage.agent.pin_path]
    walk(stage, Walk(stage, command, prepare, lambda tracer: tracer.poll() is not None), check, at_least=10)


def test_two_agents_on_one_pin_path(stage):
    """The second one is told who the first one is, and changes nothing."""
    stage.start()
    pins = sorted(stage.agent.pin_path.rglob("*"))
    for command in ("run", "detach"):
        said = subprocess.run([str(OWN), command, "--bpf.pin-path", str(stage.agent.pin_path)], capture_output=True, text=True,
                              timeout=30, check=False)
        assert said.returncode == 1
        assert f"another upstat (pid {stage.agent.process.pid}) is at work on {stage.agent.pin_path}" in said.stderr
    assert sorted(stage.agent.pin_path.rglob("*")) == pins
    stage.exchange()
    assert stage.counts() == (1, 1, 0, 0)
