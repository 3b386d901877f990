# SPDX-License-Identifier: Apache-2.0
"""What every part needs: waiting for a condition, free ports, processes, and small HTTP requests."""

import http.client
import itertools
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

NOT_YET = (OSError, http.client.HTTPException, json.JSONDecodeError)
_serial = itertools.count()
_run = secrets.token_hex(3)  # a pid alone is not enough: every PID namespace has a process 1
_taken_ports: set[int] = set()


def wait_for(condition, bound, what, interval=0.05):
    """Calls condition() until it gives something true and returns that; an AssertionError after `bound` seconds.

    A refused connection or an answer cut short is "not yet". `what` may be a function, for a message made late.
    """
    deadline = time.monotonic() + bound
    while True:
        reason = ""
        try:
            value = condition()
            if value:
                return value
        except NOT_YET as error:
            reason = f" (last: {error!r})"
        if time.monotonic() >= deadline:
            text = what() if callable(what) else what
            raise AssertionError(f"not within {bound} s: {text}{reason}")
        time.sleep(interval)


def unique_name(prefix="upstat-test"):
    """A name that no other run on this host has."""
    return f"{prefix}-{os.getpid()}-{_run}-{next(_serial)}"


def free_port():
    """A TCP port that is free on 127.0.0.1 and ::1, below the range from which outgoing connections take theirs."""
    for _ in range(1000):
        port = random.randint(10000, 30000)
        if port in _taken_ports:
            continue
        try:
            for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                with socket.socket(family, socket.SOCK_STREAM) as probe:
                    probe.bind((address, port))
        except OSError:
            continue
        _taken_ports.add(port)
        return port
    raise AssertionError("no free port on the loopback")


def get(url, timeout=10):
    """The text of a page. An answer other than 2xx is an urllib.error.HTTPError."""
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read().decode()


def get_json(url, timeout=10):
    return json.loads(get(url, timeout))


def status_of(url, timeout=10):
    """The status code of a page, whatever it is."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


class Process:
    """One child in a session of its own, its output in a log file."""

    def __init__(self, name, command, directory, cgroup=None, env=None):
        self.name = name
        self.command = [str(word) for word in command]
        self.log = Path(directory) / f"{name}.log"
        self.cgroup = cgroup
        self.env = None if env is None else {**os.environ, **env}
        self._child = None

    def start(self):
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            self._child = subprocess.Popen(
                self.cgroup.inside(self.command) if self.cgroup else self.command,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=self.env)
        return self

    @property
    def pid(self):
        return self._child.pid

    def alive(self):
        return self._child is not None and self._child.poll() is None

    def send(self, number):
        self._child.send_signal(number)

    def wait(self, bound):
        """The exit code; an AssertionError when the process is still there after `bound` seconds."""
        try:
            return self._child.wait(bound)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not exit within {bound} s:\n{self.text()}") from None

    def stop(self, number=signal.SIGTERM, grace=10):
        """Ends the process and whatever is left of its session's first group; returns the exit code."""
        if self._child is None:
            return None
        if self.alive():
            self.send(number)
            try:
                self._child.wait(grace)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self._child.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        return self._child.wait(10)

    def text(self):
        """Everything it has said so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def ready_when(self, condition, bound, what):
        """Waits for condition() and fails at once, with the log, when the process ends instead."""

        def ready():
            if not self.alive():
                return True
            return condition()

        try:
            wait_for(ready, bound, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- {self.name}:\n{self.text()}") from None
        if not self.alive():
            raise AssertionError(f"{self.name} ended with {self._child.returncode} before {what}:\n{self.text()}")


class Part:
    """A context manager that is started by entering it and stopped by leaving it, also when the start fails."""

    def start(self):
        raise NotImplementedError

    def stop(self):
        raise NotImplementedError

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
