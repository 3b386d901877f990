# SPDX-License-Identifier: Apache-2.0
"""The agent is killed before each system call by which a start or a detach changes what is on the host. The next start puts
right whatever that leaves, and counts on."""

import itertools
import os
import random
import re
import subprocess
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from agents import OWN, check_attached, forget, run_again, set_command
from conftest import Bench, Server
from parts.base import wait_for
from parts.exposition import select, total
from test_layout import Busy, other, same_sockets  # noqa: F401 # fixtures

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CALLS = "bpf,mkdir,mkdirat,symlinkat,unlink,unlinkat,rmdir,rename"
# What bpf(2) does to the host, as opposed to descriptors, which end with the process.
CHANGES = re.compile(r"bpf\((BPF_OBJ_PIN|BPF_LINK_CREATE|BPF_LINK_UPDATE|BPF_MAP_UPDATE_ELEM)|(mkdir|symlink|unlink|rmdir|rename)")
RECORD = re.compile(r"bpf\(BPF_MAP_UPDATE_ELEM")  # one for each server of the map of backends
MAPS_PIN = re.compile(r"bpf\(BPF_OBJ_PIN(?!.*/links/)|unlink(?!.*/links/)")
LINK_CHANGES = re.compile(r"bpf\(BPF_LINK_(CREATE|UPDATE)|(bpf\(BPF_OBJ_PIN|rename|unlink).*/links/")
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


def cut(log, command, call, n, bound):
    """Runs a command up to its n-th call of one kind, or for `bound` seconds."""
    tracer = strace(log, command, "-e", f"inject={call}:signal=SIGKILL:when={n}")
    try:
        tracer.wait(bound)
    except subprocess.TimeoutExpired:
        kill_traced(tracer)


def cut_soon(stage, binary, after):
    """Runs an agent up to so many changes of its links, or to its first poll, and a bit on; returns the number of changes."""
    log, seen = stage.directory / "strace.fifo", 0
    if not log.exists():
        os.mkfifo(log)
    tracer = strace(log, stage.command(binary), "-e", "inject=bpf:delay_exit=500us")
    with open(log) as lines:
        for line in lines:
            seen += bool(LINK_CHANGES.match(line))
            if seen == after or line.startswith("bpf(BPF_MAP_LOOKUP_BATCH"):
                break
        kill_traced(tracer)
        return seen + sum(bool(LINK_CHANGES.match(line)) for line in lines)


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
        if CHANGES.match(line) and " = -1 " not in line and (call in ("bpf", "symlinkat", "unlinkat") or str(pins) in line):
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
        cut(self.log, self.command, step.call, step.n, 30)
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
        self.asked = self.answered = 0

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
            self.ask(connection)
            self.answer(connection)
        connection.close()

    def ask(self, *connections):
        for connection in connections:
            connection.ask()
            self.asked += 1

    def answer(self, *connections):
        for connection in connections:
            connection.answer(OK)
            self.answered += 1

    def expect_counts_exact(self):
        """Every request is counted and every answer, once."""
        assert self.counts() == (self.asked, self.answered, 0, self.asked - self.answered)

    def expect_exact(self):
        """The same, and nothing was skipped."""
        self.expect_counts_exact()
        errors = {s.labels["place"]: s.value for s in select(self.page(), "upstat_kernel_errors_total") if s.value}
        assert not errors

    def counts(self):
        """requests, answers, unanswered, outstanding"""
        samples = self.page()
        return tuple(int(total(samples, f"upstat_server_{name}", server=self.server.label)) for name in (
            "requests_total", "responses_total", "unanswered_total", "outstanding_requests"))


@pytest.fixture
def stage(tmp_path):
    with ExitStack() as stack:
        yield Stage(stack, tmp_path)


def with_few(pattern, steps):
    """Of steps in a row that the pattern is of, the first, the last and one by chance."""
    kept = []
    for alike, group in itertools.groupby(steps, lambda step: bool(pattern.match(step.text))):
        group = list(group)
        kept += [group[0], random.choice(group[1:-1]), group[-1]] if alike and len(group) > 3 else group
    return kept


def with_few_pins(steps):
    """test_a_fresh_attach and test_a_detach_after_a_detach stop at each pin of a map."""
    return with_few(MAPS_PIN, steps)


def walk(stage, road, check, at_least, choose=list):
    steps = road.steps()
    assert len(steps) >= at_least, steps
    chosen = choose(with_few(RECORD, steps))
    for step in chosen:
        try:
            road.cut_before(step)
            check()
        except AssertionError as error:
            raise AssertionError(f"killed before {step}: {error}") from None
        finally:
            stage.stop()
    print(f"killed before each of {len(chosen)} of {len(steps)} steps")


def test_a_fresh_attach(stage):
    """A connection from between the cut and the next start is counted from a request on, and never given up."""
    def check():
        early, silent = stage.server.connect(), stage.server.connect()
        stage.ask(early)
        stage.answer(early)
        stage.start()
        check_attached(stage)
        requests = stage.asked = stage.answered = stage.counts()[0]
        assert requests in (0, 1)
        for connection in (early, silent):
            stage.ask(connection)
            stage.answer(connection)
            connection.close()
        stage.exchange(3)
        stage.expect_exact()
        seen.append(requests)

    seen = []
    walk(stage, Walk(stage, stage.command(), lambda: forget(stage), stage.ready), check, at_least=15)
    assert set(seen) == {0, 1}


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


def links_of(stage):
    """pin -> the id of its inode."""
    return {path: path.stat().st_ino for path in stage.agent.pin_path.glob("*/links/*")}


def take_egress_off(stage):
    def attached():
        shown = subprocess.run(["bpftool", "cgroup", "show", stage.cgroup.path], capture_output=True, text=True, check=True)
        return "upstat_egress" in shown.stdout

    [pin] = [path for path in links_of(stage) if path.name.endswith("-egress")]
    assert attached()
    pin.unlink()  # its last reference, which goes a grace period later
    return attached


def test_programs_that_were_away(stage):
    """A request of that time is missed, but none that its connection sends later."""
    stage.start()
    connection = stage.server.connect()
    stage.ask(connection)
    stage.answer(connection)
    stage.stop()
    attached = take_egress_off(stage)
    wait_for(lambda: not attached(), 10, "the program is off the cgroup", interval=0.02)
    connection.ask()
    connection.answer(OK)
    stage.start()
    for _ in range(2):
        stage.ask(connection)
        stage.answer(connection)
    stage.expect_counts_exact()
    connection.close()


def test_a_link_that_was_taken_off(stage):
    """A running agent puts the programs back."""
    stage.start()
    take_egress_off(stage)
    wait_for(lambda: len(links_of(stage)) == 3, 10, "the link is there again")
    stage.exchange(2)
    stage.expect_exact()


def test_links_that_cannot_be_looked_at(stage):
    """For a while each bpf(2) fails: no program is taken off for that."""
    stage.start()
    before = links_of(stage)
    assert len(before) == 3
    tracer = strace(stage.directory / "failing.log", ["-p", stage.agent.process.pid], "-f", "-e", "inject=bpf:error=ENOMEM")
    try:
        wait_for(lambda: stage.agent.log.count("nothing is judged until a poll succeeds") > 2, 20, lambda: stage.agent.log)
    finally:
        tracer.terminate()
        tracer.wait(20)
    stage.exchange(2)
    stage.expect_exact()
    assert links_of(stage) == before


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("back", [False, True])
def test_a_carry_over(stage, other, back, waits):  # noqa: F811 # a fixture
    """To another layout; then the new agent comes back, or the old one does. Whatever programs the cut leaves on the cgroup,
    each request is counted and each answer, of connections from before and from then, across the next upgrade as well. Where
    no request waits for its answer all the time, the cuts go on to where the last old program is let go."""
    held = []

    def prepare():
        while held:
            held.pop().close()
        forget(stage)
        stage.asked = stage.answered = 0
        stage.start()
        stage.exchange(2)
        idle = stage.server.connect()
        stage.ask(idle)
        stage.answer(idle)
        held.append(idle)
        if waits:
            held.append(stage.server.connect())
            stage.ask(held[-1])
        stage.stop()

    def check():
        idle, waiting = held[0], held[1:]
        connections = _, young, busy = [stage.server.connect() for _ in range(3)]  # nobody is there but the programs
        held.extend(connections)
        stage.ask(idle, young, busy)
        stage.answer(idle, young)
        stage.exchange(2)
        stage.start(OWN if back else other)
        check_attached(stage, in_flight=True)
        stage.expect_exact()
        stage.answer(busy, *waiting)
        for _ in range(2):
            stage.ask(*held)
            stage.answer(*held)
        stage.exchange(2)
        stage.expect_exact()
        check_attached(stage)

    walk(stage, Walk(stage, stage.command(other), prepare, stage.ready), check, at_least=15, choose=with_few_pins)
    while held:
        held.pop().close()


def test_cuts_in_a_row(stage, other, same_sockets):  # noqa: F811 # fixtures
    """One agent after the other, of any layout, is killed while it puts its programs on the cgroup or soon after, and none comes
    to put right what the one before has left. Two clients are busy all the time."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance, cuts = random.Random(seed), Counter()
    stage.start()
    with ExitStack() as stack:
        crowd = [Busy(stage, stack) for _ in range(2)]
        for _ in range(30):
            stage.stop()
            cuts[cut_soon(stage, chance.choice([OWN, other, same_sockets]), chance.randrange(1, 8))] += 1
        stage.start()
    for busy in crowd:
        busy.server.expect({(200, "GET"): busy.exchanged})
        print(f"{busy.exchanged} exchanges")
    check_attached(stage)
    print("killed after so many steps: " + ", ".join(f"{steps}: {times}" for steps, times in sorted(cuts.items())))
    assert len(cuts) > 3


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
    walk(stage, Walk(stage, command, prepare, lambda tracer: tracer.poll() is not None), check, at_least=15, choose=with_few_pins)


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
