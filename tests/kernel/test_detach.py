# SPDX-License-Identifier: Apache-2.0
"""What upstat removes, and where it starts: its own pins on a bpffs, by name and by what is pinned, and nothing else."""

import os
import re
import subprocess

import pytest

from agents import OWN
from conftest import BUILD
from parts.base import free_port, wait_for
from parts.cgroup import Cgroup
from parts.upstat import Upstat

OWN_NAMES = ["layout-3", "layout-3/links", "layout-3/totals", "clearing"]


def mounted(stack, directory):
    """A bpffs of this test's own."""
    directory.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "bpf", "bpf", directory], check=True)
    stack.callback(subprocess.run, ["umount", directory], check=True)
    return directory


@pytest.fixture
def bpffs(stack, tmp_path):
    return mounted(stack, tmp_path / "bpffs")


@pytest.fixture
def agent(stack, bpffs, tmp_path):
    """An agent that has run, and has left its pins in a directory of the bpffs."""
    return ended(stack, bpffs / "upstat", tmp_path)


def ended(stack, pin_path, directory):
    cgroup = stack.enter_context(Cgroup())
    flags = {"--traefik.cgroup": cgroup.path, "--bpf.totals-size": 64, "--bpf.requests-size": 16}
    agent = Upstat(os.environ.get("UPSTAT_BINARY", BUILD / "upstat"), directory, flags, pin_path=pin_path)
    stack.callback(agent.process.stop)
    run_for_a_moment(agent)
    assert len(links(agent)) == 3
    return agent


def run_for_a_moment(agent):
    """Until the programs are attached, whether or not they were before."""
    def times():
        return len(re.findall("(attached to|adopted the programs on) cgroup", agent.log))
    before = times()
    agent.launch()
    agent.process.ready_when(lambda: times() > before, 30, "the programs are attached")
    assert agent.process.stop() == 0


def links(agent):
    return list(agent.pin_path.glob("layout-*/links/*"))


def pin_map(path, kind="array", name="foreign"):
    """Another tool's."""
    subprocess.run(["bpftool", "map", "create", path, "type", kind, "key", "4", "value", "4", "entries", "1", "name", name],
                   check=True)
    return path


def tree(directory):
    """What is in a directory, each with its inode."""
    return {path: path.lstat().st_ino for path in directory.rglob("*")}


def upstat(*words, code=0, **variables):
    said = subprocess.run([str(OWN), *map(str, words)], capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, **variables})
    assert said.returncode == code, f"exit {said.returncode}, not {code}: {said.stdout}{said.stderr}"
    return said.stdout + said.stderr


def detach(path, code=0):
    return upstat("detach", "--bpf.pin-path", path, code=code)


def run(tmp_path, path, code, *words):
    return upstat("run", "--bpf.pin-path", path, "--state.path", tmp_path / "state",
                  "--web.listen-address", f"127.0.0.1:{free_port()}", *words, code=code)


# --- off a bpffs ------------------------------------------------------------------------------------------------------

@pytest.fixture(params=["directory", "tmpfs", "link", "link to pins"])
def no_root(request, stack, tmp_path):
    """A directory tree that is not upstat's, whatever its names say; and a link to one, or to what is."""
    path = tmp_path / "data"
    if request.param == "link to pins":
        path.symlink_to(mounted(stack, tmp_path / "bpffs") / "upstat")
        (tmp_path / "bpffs/upstat/layout-3/links").mkdir(parents=True)
        return path
    path.mkdir()
    if request.param == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path], check=True)
        stack.callback(subprocess.run, ["umount", path], check=True)
    for name in OWN_NAMES:
        (path / name).mkdir(parents=True, exist_ok=True)
    (path / "layout-3/precious").write_text("precious")
    if request.param == "link":
        (tmp_path / "link").symlink_to(path)
        return tmp_path / "link"
    return path


@pytest.mark.parametrize("source", ["flag", "variable", "file"])
def test_detach_removes_no_other_tree(no_root, tmp_path, source):
    file = tmp_path / "upstat.yml"
    file.write_text(f"bpf:\n  pin-path: {no_root}\n")
    before = tree(tmp_path)
    if source == "flag":
        said = detach(no_root, code=3)
    elif source == "variable":
        said = upstat("detach", UPSTAT_BPF_PIN_PATH=str(no_root), code=3)
    else:
        said = upstat("detach", "--config.file", file, code=3)
    assert f"--bpf.pin-path {no_root} is not" in said and "HINT" in said
    assert tree(tmp_path) == before


def test_start_refuses_what_is_no_root(no_root, tmp_path):
    before = tree(no_root)
    said = run(tmp_path, no_root, code=3)
    assert f"--bpf.pin-path {no_root} is not" in said and "HINT" in said
    assert tree(no_root) == before


def test_check_config_refuses_what_is_no_root(no_root, tmp_path):
    file = tmp_path / "upstat.yml"
    file.write_text(f"bpf:\n  pin-path: {no_root}\n")
    assert f"{file}: --bpf.pin-path {no_root} is not" in upstat("check-config", file, code=2)


def test_a_root_of_another_user_is_refused(bpffs, tmp_path):
    """Where anybody may make directories, he could pin maps of his own there, or take ours away."""
    path = bpffs / "upstat"
    path.mkdir()
    os.chown(path, 1000, 1000)
    for said in (run(tmp_path, path, code=3), detach(path, code=3), upstat("check-config", config(tmp_path, path), code=2)):
        assert f"{path} is owned by user 1000" in said and "HINT" in said
    assert not any(path.iterdir())


def test_a_state_directory_of_another_user_is_refused(bpffs, tmp_path):
    (tmp_path / "state").mkdir()
    os.chown(tmp_path / "state", 1000, 1000)
    said = run(tmp_path, bpffs / "upstat", 3)
    assert f"{tmp_path}/state is owned by user 1000" in said
    assert not (bpffs / "upstat").exists()


def config(tmp_path, pin_path):
    file = tmp_path / "upstat.yml"
    file.write_text(f"bpf:\n  pin-path: {pin_path}\n")
    return file


def test_check_config_takes_a_path_that_is_to_be_made(bpffs, tmp_path):
    file = tmp_path / "upstat.yml"
    file.write_text(f"bpf:\n  pin-path: {bpffs}/to/be/made\n")
    upstat("check-config", file)
    assert not (bpffs / "to").exists()


def test_no_bpffs_at_all(tmp_path):
    """The hint is the command that mounts one, where the usual place has none."""
    script = 'umount -a -t bpf; exec "$0" detach --bpf.pin-path="$1"'
    said = subprocess.run(["unshare", "--mount", "sh", "-c", script, OWN, tmp_path], capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 3 and "mount -t bpf bpf /sys/fs/bpf" in said.stderr, said


# --- others' pins -----------------------------------------------------------------------------------------------------

def test_own_pins_go(agent, bpffs):
    before = tree(bpffs)
    assert len(before) > 10
    assert f"took upstat's programs and maps off {agent.pin_path}" in detach(agent.pin_path)
    assert not agent.pin_path.exists()
    assert f"nothing of upstat's is at {agent.pin_path}" in detach(agent.pin_path)


def test_an_empty_root_goes(bpffs):
    (bpffs / "upstat").mkdir()
    detach(bpffs / "upstat")
    assert not (bpffs / "upstat").exists()


@pytest.mark.parametrize("where, name", [
    (".", "foreign"), ("layout-3", "foreign"), ("layout-3", "layout-3"), ("layout-3/links", "foreign"),
    ("layout-3/links", "1-egress"), ("layout-9", "totals"), ("layout-x", "totals"), ("clearing", "totals"), ("detaching", "totals"), (".", "zone-9")])
def test_others_pins_stay(agent, bpffs, where, name):
    own = tree(agent.pin_path)
    (agent.pin_path / where).mkdir(parents=True, exist_ok=True)
    foreign = pin_map(agent.pin_path / where / name)
    inode = foreign.stat().st_ino
    said = detach(agent.pin_path, code=1 if where == "detaching" else 0)
    assert foreign.stat().st_ino == inode
    if where == "detaching":  # the name of upstat's own mark: nothing is begun that a crash could leave half done
        assert f"cannot make {agent.pin_path}/detaching: File exists" in said
        assert own.items() <= tree(agent.pin_path).items()
        return
    assert f"left {agent.pin_path}: " in said
    kept = {foreign, *foreign.parents}
    assert not [path for path in own if path.exists() and path not in kept]


def test_a_link_of_others_stays(agent):
    """One of ours under a name that we never give."""
    link, *_ = links(agent)
    odd = link.rename(link.with_name("1-other"))
    inode = odd.stat().st_ino
    detach(agent.pin_path)
    assert odd.stat().st_ino == inode


def test_a_map_that_looks_like_a_link_stays(agent):
    """The kernel describes this one with the numbers of a link to a cgroup's ingress."""
    foreign = pin_map(agent.pin_path / "layout-3/links/1-ingress", kind="prog_array", name="")
    detach(agent.pin_path)
    assert foreign.exists()


def test_the_root_of_a_bpffs(bpffs):
    """One word shorter than the default, as is easily typed."""
    foreign = [pin_map(bpffs / "foreign")]
    for name in ("tool", "tool/layout-3", "tool/layout-3/links"):
        (bpffs / name).mkdir()
        foreign.append(pin_map(bpffs / name / "totals"))
    before = tree(bpffs)
    assert f"nothing of upstat's is at {bpffs}" in detach(bpffs)
    assert tree(bpffs) == before


def test_pins_in_the_root_of_a_bpffs(stack, bpffs, tmp_path):
    before = tree(bpffs)
    foreign = pin_map(bpffs / "foreign")
    agent = ended(stack, bpffs, tmp_path)
    assert links(agent)
    detach(bpffs)
    assert set(tree(bpffs)) == {*before, foreign}


def test_a_link_inside_leads_nowhere(agent, bpffs):
    """`links` of a generation is a symbolic link to another one's."""
    other = bpffs / "other"
    agent.pin_path.rename(other)
    (agent.pin_path / "layout-3").mkdir(parents=True)
    (agent.pin_path / "layout-3/links").symlink_to(other / "layout-3/links")
    (agent.pin_path / "layout-4").symlink_to(other / "layout-3")
    before = tree(other)
    detach(agent.pin_path)
    assert tree(other) == before
    detach(other)


# --- start ------------------------------------------------------------------------------------------------------------

def test_a_foreign_directory_clears_nothing(agent):
    """Earlier versions took a directory of this name for the mark of a detach that was cut short."""
    pins = tree(agent.pin_path)
    foreign = [pin_map(path / "foreign") for path in (agent.pin_path / "clearing", agent.pin_path / "detaching")
               if not path.mkdir()]
    run_for_a_moment(agent)
    assert pins.items() <= tree(agent.pin_path).items()
    assert all(path.exists() for path in foreign)


def test_a_detach_that_was_cut_short_is_finished(agent):
    pins = tree(agent.pin_path)
    (agent.pin_path / "detaching").symlink_to("upstat detach has begun")
    run_for_a_moment(agent)
    assert not pins.items() & tree(agent.pin_path / "layout-3").items()
    assert not (agent.pin_path / "detaching").is_symlink()


def test_an_unfinished_generation_keeps_others_pins(agent, bpffs):
    """It has no directory of links. What is ours in it goes, and the new agent makes another one beside it."""
    other = bpffs / "other"
    agent.pin_path.rename(other)
    unfinished = agent.pin_path / "layout-3"
    unfinished.mkdir(parents=True)
    foreign = pin_map(unfinished / "foreign")
    own = (other / "layout-3/totals").rename(unfinished / "totals")
    detach(other)
    run_for_a_moment(agent)
    assert foreign.exists() and not own.exists()
    assert (agent.pin_path / "layout-3-1/totals").exists()


def test_a_generation_is_not_counted_twice(agent):
    """A symbolic link beside it shows the same maps again."""
    (agent.pin_path / "layout-3-1").symlink_to("layout-3")
    before = tree(agent.pin_path)
    run_for_a_moment(agent)
    assert tree(agent.pin_path) == before
    assert "goes on with the counts of" not in agent.log


def test_a_refused_start_takes_its_own_pins_only(bpffs, tmp_path):
    (bpffs / "upstat").mkdir()
    pin_map(bpffs / "upstat/foreign")
    before = tree(bpffs)
    said = run(tmp_path, bpffs / "upstat", 1, "--traefik.pid", 4194303)
    assert "4194303" in said
    assert tree(bpffs) == before


@pytest.mark.parametrize("here", [True, False])
def test_stacked_mounts_are_said(stack, agent, bpffs, tmp_path, here):
    """What is pinned in the lower one is out of reach, whether or not the upper one has anything at this path."""
    mounted(stack, bpffs)
    if here:
        agent.pin_path.mkdir()
    said = detach(agent.pin_path)
    assert f"2 bpffs are mounted over each other at {bpffs}" in said
    said = run(tmp_path, agent.pin_path, 1, "--traefik.pid", 4194303)
    assert f"2 bpffs are mounted over each other at {bpffs}" in said


# --- capabilities -----------------------------------------------------------------------------------------------------

NEEDED = ["bpf", "perfmon", "net_admin"]


def with_only(capabilities):
    """Root with these capabilities and no others."""
    given = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    return ["setpriv", f"--bounding-set={given}", "--inh-caps=-all"]


@pytest.mark.parametrize("lacking", NEEDED)
def test_a_capability_that_is_missing_is_named(stack, bpffs, tmp_path, lacking):
    """Before anything is loaded: without CAP_PERFMON the kernel works for long before it refuses."""
    command = with_only([name for name in NEEDED if name != lacking])
    said = subprocess.run([*command, OWN, "run", "--bpf.pin-path", bpffs / "upstat", "--state.path", tmp_path / "state",
                           "--web.listen-address", f"127.0.0.1:{free_port()}"], capture_output=True, text=True, timeout=60,
                          check=False)
    assert said.returncode == 3, said
    assert f"this process lacks CAP_{lacking.upper()}," in said.stderr and "HINT: run as root, or with" in said.stderr
    assert not (bpffs / "upstat").exists()


def test_these_capabilities_are_enough(stack, bpffs, tmp_path):
    cgroup = stack.enter_context(Cgroup())
    agent = Upstat(OWN, tmp_path, {"--traefik.cgroup": cgroup.path}, pin_path=bpffs / "upstat")
    agent.process.command = [*with_only(NEEDED), *agent.process.command]
    stack.callback(agent.stop)
    agent.launch()
    wait_for(lambda: len(links(agent)) == 3, 30, lambda: agent.log)


def test_detach_without_the_capability_says_so(agent):
    """It could not tell its own pins from others'."""
    pins = tree(agent.pin_path)
    said = subprocess.run([*with_only([]), OWN, "detach", "--bpf.pin-path", agent.pin_path], capture_output=True, text=True,
                          timeout=60, check=False)
    assert said.returncode == 3 and "this process lacks CAP_BPF," in said.stderr
    assert tree(agent.pin_path) == pins
