# SPDX-License-Identifier: Apache-2.0
"""What `kubectl apply -k deploy/kubernetes` would send to a cluster. No cluster is to be had here."""

import fcntl
from pathlib import Path

import pytest
import yaml

from conftest import BUILD, TOP
from containers import command

BASE = TOP / "deploy/kubernetes"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
# The oldest release that still has patches somewhere, and the one of the schemas' own default.
VERSIONS = ("1.31", "1.37")


@pytest.fixture(scope="session")
def kube():
    """The directory of kubectl and kubernetes-validate: a private venv, made once."""
    venv = Path(BUILD).resolve() / "kubernetes-venv"
    venv.parent.mkdir(parents=True, exist_ok=True)
    stamp = venv / "installed"
    with open(venv.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs may want it at once
        if not stamp.exists() or stamp.read_text() != REQUIREMENTS.read_text():
            command(["/usr/bin/python3", "-m", "venv", "--clear", venv], bound=300)
            command([venv / "bin/pip", "install", "--quiet", "-r", REQUIREMENTS], bound=300)
            stamp.write_text(REQUIREMENTS.read_text())
    return venv / "bin"


@pytest.fixture(scope="session")
def rendered(kube):
    return command([kube / "kubectl", "kustomize", BASE])


@pytest.fixture(scope="session")
def documents(rendered):
    """kind -> document."""
    return {document["kind"]: document for document in yaml.safe_load_all(rendered)}


@pytest.fixture(scope="session")
def pod(documents):
    return documents["DaemonSet"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
def test_each_document_fits_its_schema(kube, rendered, tmp_path, version):
    (tmp_path / "rendered.yaml").write_text(rendered)
    validate = [kube / "kubernetes-validate", "--strict", "-k", version, tmp_path / "rendered.yaml"]
    command(validate)
    broken = rendered.replace("hostPID: true", "hostPid: true")
    assert broken != rendered
    (tmp_path / "rendered.yaml").write_text(broken)
    with pytest.raises(AssertionError, match="hostPid"):
        command(validate)


def test_the_documents(documents):
    assert set(documents) == {"Namespace", "ServiceAccount", "ConfigMap", "DaemonSet"}
    for kind, document in documents.items():
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "upstat", kind
        if kind != "Namespace":
            assert document["metadata"]["namespace"] == documents["Namespace"]["metadata"]["name"], kind
    spec = documents["DaemonSet"]["spec"]
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def test_no_rights_in_the_api(documents, pod):
    assert documents["ServiceAccount"]["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == documents["ServiceAccount"]["metadata"]["name"]
    assert pod["automountServiceAccountToken"] is False


def test_what_the_kernel_side_needs(documents, pod):
    assert documents["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    assert pod["hostPID"] is True and pod["hostNetwork"] is True
    assert pod["dnsPolicy"] == "ClusterFirstWithHostNet"  # else the Pushgateway's name is unknown in the node's network
    agent, = pod["containers"]
    first, = pod["initContainers"]
    for container in (agent, first):
        assert container["securityContext"] == {"privileged": True, "readOnlyRootFilesystem": True}
        assert container["image"] == agent["image"] != "upstat"

    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    host = {mount["mountPath"]: (volumes[mount["name"]].get("hostPath", {}).get("path"), mount) for mount in agent["volumeMounts"]}
    for path in ("/sys/fs/bpf", "/sys/fs/cgroup", "/var/lib/upstat"):
        assert host[path][0] == path
    assert host["/sys/fs/cgroup"][1]["readOnly"] is True
    assert not host["/sys/fs/bpf"][1].get("readOnly") and not host["/var/lib/upstat"][1].get("readOnly")
    assert volumes["state"]["hostPath"]["type"] == "DirectoryOrCreate"
    assert {mount["mountPath"]: mount.get("mountPropagation") for mount in first["volumeMounts"]} == {"/sys/fs/bpf": "Bidirectional"}


def test_it_is_probed_where_it_listens_and_pushes_as_its_node(documents, pod, upstat_binary, tmp_path):
    text = documents["ConfigMap"]["data"]["upstat.yml"]
    (tmp_path / "upstat.yml").write_text(text)
    command([upstat_binary, "check-config", tmp_path / "upstat.yml"])
    settings = yaml.safe_load(text)
    agent, = pod["containers"]
    for probe, path in (("livenessProbe", "/-/healthy"), ("startupProbe", "/-/healthy"), ("readinessProbe", "/-/ready")):
        asked = agent[probe]["httpGet"]
        assert asked["path"] == path
        assert f"{asked['host']}:{asked['port']}" == settings["web"]["listen-address"]
    assert settings["push"]["url"].startswith("http://pushgateway.")
    instance, = agent["env"]
    assert instance == {"name": "UPSTAT_PUSH_INSTANCE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    named = {volume["name"]: volume for volume in pod["volumes"]}["config"]["configMap"]["name"]
    assert named == documents["ConfigMap"]["metadata"]["name"] != "upstat"  # the hash is in both
    assert pod["terminationGracePeriodSeconds"] >= 10
    assert set(agent["resources"]["requests"]) == {"cpu", "memory"} and "memory" in agent["resources"]["limits"]
