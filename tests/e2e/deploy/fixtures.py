# SPDX-License-Identifier: Apache-2.0
"""Fixtures of several files here: a module that uses one imports it by name. (A conftest.py here would hide that of e2e/.)"""

import functools
from pathlib import Path

import pytest
import yaml

from conftest import BUILD, TOP
from containers import Container, Store, command
from parts.base import unique_name
from parts.nginx import Nginx
from parts.traefik import Traefik
from parts.venv import made_venv

IMAGE = "localhost/upstat:test"
KUBERNETES = TOP / "deploy/kubernetes"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


@pytest.fixture(scope="session")
def kube():
    """The directory of kubectl and kubernetes-validate: a private venv, made once."""
    return made_venv(BUILD, "kubernetes-venv", REQUIREMENTS) / "bin"


@pytest.fixture(scope="session")
def render(kube):
    """render("base"): the text that kubectl would send; documents_of(text): kind -> document."""
    return functools.cache(lambda directory: command([kube / "kubectl", "kustomize", KUBERNETES / directory]))


def documents_of(text):
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


@pytest.fixture(scope="module")
def store(upstat_binary):
    """A store with the image in it, built twice."""
    with Store() as store:
        first, second = (command([TOP / "deploy/image/build", upstat_binary, name], bound=300, env=store.env).split()[-1]
                         for name in (IMAGE, f"{IMAGE}-again"))
        assert first == second, "the same binary and packages give another image"
        yield store


@pytest.fixture
def servers(stack, tmp_path):
    return stack.enter_context(Nginx(tmp_path, ("127.0.0.1", "::1", "127.0.0.1")))


@pytest.fixture
def traefik(stack, tmp_path, store, servers, traefik_binary):
    """In the agent's image, for want of another: a Go binary needs nothing of it."""
    binary = Path(traefik_binary).resolve()
    home = stack.enter_context(Container(store, IMAGE, "--net=host", "-v", f"{tmp_path}:{tmp_path}", "-v", f"{binary}:/usr/bin/traefik:ro",
                                         entrypoint="/usr/bin/traefik"))
    # The agent finds every Traefik of this host, also those of other tests: these names and servers are ours alone.
    services = {unique_name("four"): servers.servers[:1], unique_name("both"): servers.servers[1:]}
    return stack.enter_context(Traefik(binary, tmp_path, home,
                                       {name: [servers.url(server) for server in listed] for name, listed in services.items()}))
