# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests. scripts/test says where the binaries are; alone, pytest finds them by itself.

    /usr/bin/python3 -m pytest tests/e2e                     all
    /usr/bin/python3 -m pytest tests/e2e -m "not slow"       without the rule's real three minutes
    /usr/bin/python3 -m pytest tests/e2e -m "not agent"      the parts alone
"""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from parts.rig import Rig  # noqa: E402
from parts.upstat import Bpffs, Upstat  # noqa: E402

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("UPSTAT_BUILD_DIR", TOP / "build"))
DATA = Path(__file__).parent / "data"


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes minutes, because a real rule's window and hold do")
    config.addinivalue_line("markers", "agent: needs build/upstat and the right to load BPF programs")


def pytest_collection_modifyitems(items):
    for item in items:
        if {"upstat_binary", "agent"} & set(item.fixturenames):
            item.add_marker(pytest.mark.agent)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of every log that its parts have written."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and "tmp_path" in item.funcargs:
        for log in sorted(item.funcargs["tmp_path"].rglob("*.log")):
            if log.name != "access.log":
                report.sections.append((str(log), log.read_text(errors="replace")[-6000:]))


@pytest.fixture(scope="session")
def traefik_binary():
    given = os.environ.get("UPSTAT_TRAEFIK")
    if given:
        return given
    script = f'. "{TOP}/scripts/lib/common.sh"; . "{TOP}/scripts/lib/traefik.sh"; traefik_binary'
    return subprocess.run(["bash", "-c", script], env={**os.environ, "UPSTAT_BUILD_DIR": str(BUILD)}, check=True,
                          stdout=subprocess.PIPE, text=True, timeout=300).stdout.strip()


@pytest.fixture(scope="session")
def upstat_binary(bpffs):
    binary = Path(os.environ.get("UPSTAT_BINARY", BUILD / "upstat"))
    assert binary.exists(), f"{binary} is not there: scripts/build makes it"
    return binary


@pytest.fixture(scope="session")
def bpffs():
    with Bpffs() as mounted:
        yield mounted.path


@pytest.fixture
def stack():
    """What a test enters here is left in reverse order at its end."""
    with ExitStack() as parts:
        yield parts


@pytest.fixture
def rig(stack, tmp_path, traefik_binary):
    return stack.enter_context(Rig(tmp_path, traefik_binary))


@pytest.fixture
def agent(stack, tmp_path, upstat_binary):
    """agent(rig, {"--flag": value}) starts an agent on the rig's Traefik."""

    def start(rig, flags=None, named_by="pid"):
        return stack.enter_context(Upstat(upstat_binary, tmp_path, {**rig.flags(named_by), **(flags or {})}))

    return start
