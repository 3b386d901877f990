# SPDX-License-Identifier: Apache-2.0
"""What `kubectl apply -k deploy/kubernetes` would send to a cluster. No cluster is to be had here."""

import re
import shutil

import pytest
import yaml

from conftest import TOP
from containers import command
from fixtures import KUBERNETES, documents_of, kube, render  # noqa: F401

# Each of them is applied as it is.
WHOLE = ("base", "overlays/privileged", "overlays/least")
# The oldest release that still has patches somewhere, and the one of the schemas' own default.
VERSIONS = ("1.31", "1.37")
CAPABILITIES = {"BPF", "PERFMON", "NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH", "SETUID", "SETGID"}
LEAST = {"BPF", "PERFMON", "NET_ADMIN", "SYS_PTRACE"}


@pytest.fixture(params=WHOLE)
def documents(render, request):
    return documents_of(render(request.param))


@pytest.fixture
def pod(documents):
    return documents["DaemonSet"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("directory", [*WHOLE, "detach"])
def test_each_document_fits_its_schema(kube, render, tmp_path, version, directory):
    (tmp_path / "rendered.yaml").write_text(render(directory).replace("NODE", "node-1"))
    command([kube / "kubernetes-validate", "--strict", "-k", version, tmp_path / "rendered.yaml"])


@pytest.mark.parametrize("change", [("hostPID: true", "hostPid: true"), ("priorityClassName:", "priorityClass:"), ("policyTypes:", "policyType:"),
                                    ("seccompProfile:", "seccomp:"), ("value: 1000000", "value: high")])
def test_the_schemas_notice_a_mistake(kube, render, tmp_path, change):
    broken = render("base").replace(*change)
    assert broken != render("base")
    (tmp_path / "rendered.yaml").write_text(broken)
    with pytest.raises(AssertionError, match="exit 1"):
        command([kube / "kubernetes-validate", "--strict", "-k", VERSIONS[0], tmp_path / "rendered.yaml"])


def test_the_documents(documents):
    assert set(documents) - {"NetworkPolicy"} == {"Namespace", "ServiceAccount", "PriorityClass", "ConfigMap", "DaemonSet"}
    for kind, document in documents.items():
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "upstat", kind
        if kind not in ("Namespace", "PriorityClass"):
            assert document["metadata"]["namespace"] == documents["Namespace"]["metadata"]["name"], kind
    spec = documents["DaemonSet"]["spec"]
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    assert spec["template"]["spec"]["priorityClassName"] == documents["PriorityClass"]["metadata"]["name"]


def test_no_rights_in_the_api(documents, pod):
    assert documents["ServiceAccount"]["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == documents["ServiceAccount"]["metadata"]["name"]
    assert pod["automountServiceAccountToken"] is False


def test_what_the_kernel_side_needs(documents, pod):
    assert documents["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    assert pod["hostPID"] is True
    assert pod.get("hostNetwork", False) == (pod.get("dnsPolicy") == "ClusterFirstWithHostNet")  # else no cluster name is known there
    agent, = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    host = {mount["mountPath"]: (volumes[mount["name"]].get("hostPath", {}).get("path"), mount) for mount in agent["volumeMounts"]}
    for path in ("/sys/fs/bpf", "/sys/fs/cgroup", "/var/lib/upstat"):
        assert host[path][0] == path
    assert host["/sys/fs/cgroup"][1]["readOnly"] is True
    assert not host["/sys/fs/bpf"][1].get("readOnly") and not host["/var/lib/upstat"][1].get("readOnly")
    assert volumes["state"]["hostPath"]["type"] == "DirectoryOrCreate"
    assert agent["securityContext"]["readOnlyRootFilesystem"] is True


def test_who_may_do_what(render):
    """Only the overlay of that name is privileged."""
    contexts, kinds = {}, {}
    for directory in WHOLE:
        kinds[directory] = documents_of(render(directory))
        agent, = kinds[directory]["DaemonSet"]["spec"]["template"]["spec"]["containers"]
        contexts[directory] = agent["securityContext"]
    for directory, capabilities in (("base", CAPABILITIES), ("overlays/least", LEAST)):
        context = contexts[directory]
        assert "privileged" not in context
        assert context["capabilities"]["drop"] == ["ALL"] and set(context["capabilities"]["add"]) == capabilities
        assert "initContainers" not in kinds[directory]["DaemonSet"]["spec"]["template"]["spec"]
    assert contexts["base"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert contexts["overlays/least"]["allowPrivilegeEscalation"] is False
    assert contexts["overlays/privileged"] == {"privileged": True, "readOnlyRootFilesystem": True}
    first, = kinds["overlays/privileged"]["DaemonSet"]["spec"]["template"]["spec"]["initContainers"]
    assert first["image"] == "localhost/upstat:latest"
    assert {mount["mountPath"]: mount.get("mountPropagation") for mount in first["volumeMounts"]} == {"/sys/fs/bpf": "Bidirectional"}


def test_who_reaches_the_metrics(render):
    """On a pod's own address behind a policy, or on the node's loopback: never on the node's address."""
    for directory in WHOLE:
        documents = documents_of(render(directory))
        pod = documents["DaemonSet"]["spec"]["template"]["spec"]
        address = yaml.safe_load(documents["ConfigMap"]["data"]["upstat.yml"])["web"]["listen-address"]
        if pod.get("hostNetwork"):
            assert address == "127.0.0.1:9479" and "NetworkPolicy" not in documents
            continue
        assert address == ":9479"
        policy = documents["NetworkPolicy"]["spec"]
        labels = documents["DaemonSet"]["spec"]["template"]["metadata"]["labels"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()
        assert policy["policyTypes"] == ["Ingress"]
        entry, = policy["ingress"]
        assert entry["ports"] == [{"port": "metrics"}] and len(entry["from"]) == 1


def test_it_is_probed_where_it_listens_and_pushes_as_its_node(documents, pod, upstat_binary, tmp_path):
    text = documents["ConfigMap"]["data"]["upstat.yml"]
    (tmp_path / "upstat.yml").write_text(text)
    command([upstat_binary, "check-config", tmp_path / "upstat.yml"])
    (tmp_path / "pushes.yml").write_text(re.sub("(?m)^#(push|  url)", r"\1", text))
    command([upstat_binary, "check-config", tmp_path / "pushes.yml"])
    settings = yaml.safe_load(text)
    agent, = pod["containers"]
    port, = agent["ports"]
    for probe, path in (("livenessProbe", "/-/healthy"), ("startupProbe", "/-/healthy"), ("readinessProbe", "/-/ready")):
        asked = agent[probe]["httpGet"]
        assert asked["path"] == path
        number = port["containerPort"] if asked["port"] == port["name"] else asked["port"]
        assert f"{asked.get('host', '')}:{number}" == settings["web"]["listen-address"]
    instance, = agent["env"]
    assert instance == {"name": "UPSTAT_PUSH_INSTANCE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    named = {volume["name"]: volume for volume in pod["volumes"]}["config"]["configMap"]["name"]
    assert named == documents["ConfigMap"]["metadata"]["name"] != "upstat"  # the hash is in both
    assert pod["terminationGracePeriodSeconds"] >= 10
    assert set(agent["resources"]["requests"]) == {"cpu", "memory"} and "memory" in agent["resources"]["limits"]


def test_the_operators_part(kube, render, tmp_path):
    """As an overlay names it, beside the base and its own image."""
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({
        "resources": ["base"], "components": ["component"], "namespace": "mine",
        "images": [{"name": "localhost/upstat", "newName": "registry.test/upstat", "newTag": "1"}]}))
    shutil.copytree(KUBERNETES / "base", tmp_path / "base")
    shutil.copytree(KUBERNETES / "components/prometheus-operator", tmp_path / "component")
    documents = documents_of(command([kube / "kubectl", "kustomize", tmp_path]))
    monitor = documents["PodMonitor"]
    template = documents["DaemonSet"]["spec"]["template"]
    agent, = template["spec"]["containers"]
    assert agent["image"] == "registry.test/upstat:1"
    assert monitor["metadata"]["namespace"] == documents["DaemonSet"]["metadata"]["namespace"] == "mine"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert template["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "upstat"  # the job that the rules name
    endpoint, = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == agent["ports"][0]["name"]

    # The rules are those of the one file, and what make-rule writes.
    shipped = yaml.safe_load((TOP / "deploy/prometheus/rules.yml").read_text())
    assert documents["PrometheusRule"]["spec"] == shipped
    shutil.copytree(TOP / "deploy", tmp_path / "deploy")
    made = tmp_path / "deploy/kubernetes/components/prometheus-operator"
    (made / "prometheusrule.yaml").unlink()
    command([made / "make-rule"])
    assert (made / "prometheusrule.yaml").read_text() == (KUBERNETES / "components/prometheus-operator/prometheusrule.yaml").read_text()


def test_the_detach_job(render):
    job = documents_of(render("detach").replace("NODE", "node-1"))["Job"]
    pod = job["spec"]["template"]["spec"]
    container, = pod["containers"]
    assert pod["nodeName"] == "node-1" and job["metadata"]["name"] == "upstat-detach-node-1"
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["BPF", "SYS_ADMIN"]}
    selected = documents_of(render("base"))["DaemonSet"]["spec"]["selector"]["matchLabels"]
    assert not selected.items() <= job["spec"]["template"]["metadata"]["labels"].items()
