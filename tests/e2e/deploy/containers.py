# SPDX-License-Identifier: Apache-2.0
"""podman containers in a store of the test's own, so that nothing of this host's images or containers is touched."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from parts.base import Part, unique_name, wait_for

# Without the limits runc wants to raise them, which a machine without CAP_SYS_RESOURCE forbids.
_LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "--log-driver=none"]
_STORAGE = """[storage]
driver = "vfs"
graphroot = "{0}/graph"
runroot = "{0}/run"
"""


class Store(Part):
    """Images and containers below one directory, for podman and buildah."""

    def __init__(self):
        self.path = None
        self._cgroup = unique_name()

    def start(self):
        self.path = Path(tempfile.mkdtemp(prefix="upstat-store-"))  # podman wants a short path
        (self.path / "storage.conf").write_text(_STORAGE.format(self.path))

    @property
    def env(self):
        return {"CONTAINERS_STORAGE_CONF": f"{self.path}/storage.conf"}

    @property
    def flags(self):
        """What every `podman run` here needs; for one that may do all."""
        return ["--privileged", *self.limits]

    @property
    def cgroups(self):
        """A glob of --traefik.allow for all that run in it."""
        return f"/{self._cgroup}/*"

    @property
    def limits(self):
        """The same for one that says itself what it may do."""
        return [*_LIMITS, f"--cgroup-parent=/{self._cgroup}"]

    def podman(self, *words):
        """The command line of podman on this store; `env` is in it, because a Process has none of its own."""
        return ["env", *(f"{name}={value}" for name, value in self.env.items()), "podman", "--log-level=error",
                "--cgroup-manager=cgroupfs", "--runtime=runc", *map(str, words)]

    def run(self, *words, bound=120, check=True):
        """Runs podman and returns its output; an AssertionError with what it said when it fails."""
        return command(self.podman(*words), bound, check)

    def stop(self):
        if self.path is None:
            return
        self.run("rm", "--all", "--force", "--time=0", check=False)
        wait_for(self._removed, 30, f"{self.path} is removed")
        wait_for(self._cgroups_removed, 10, f"the cgroups {self._cgroup} are removed")

    def _removed(self):
        """podman keeps a mount of the store on itself, and its own cleaning up after a container may go on for a moment."""
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if (point := line.split()[4]).startswith(f"{self.path}/"):
                subprocess.run(["umount", point], check=False)
        shutil.rmtree(self.path, ignore_errors=True)
        return not self.path.exists()

    def _cgroups_removed(self):
        """podman leaves its empty parent directory in every hierarchy."""
        for top in self._cgroups():
            for directory in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
                _rmdir(directory)
            _rmdir(top)
        return not self._cgroups()

    def _cgroups(self):
        root = Path("/sys/fs/cgroup")
        return [*root.glob(self._cgroup), *root.glob(f"*/{self._cgroup}")]


class Container(Part):
    """One container. As the `cgroup` of a Process it runs the process's command in it, in the foreground.

    entrypoint: the program, given to the container by a volume; None: the command's own program is the image's.
    privileged: False: the flags say what it may do.
    """

    def __init__(self, store, image, *flags, entrypoint=None, privileged=True):
        self.store = store
        self.image = image
        self.name = unique_name()
        self.flags = [*(store.flags if privileged else store.limits), *map(str, flags)]
        self.entrypoint = entrypoint

    def start(self):
        pass

    def inside(self, words):
        """Replaces the container that may be left from an earlier start."""
        entry = ["--entrypoint", self.entrypoint] if self.entrypoint else []
        return self.store.podman("run", "--rm", "--replace", "--name", self.name, *self.flags, *entry, self.image, *words[1:])

    def stop(self):
        self.store.run("rm", "--force", "--time=0", "--ignore", self.name, check=False)


class Composed(Part):
    """A project of podman-compose, which is in `programs`: these files, and for its service what a test has elsewhere. As the `cgroup` of a Process
    it is up for as long as the process is."""

    def __init__(self, store, programs, directory, service, own, files=()):
        self.store = store
        self._programs = programs
        self.project = unique_name("compose")
        self._directory = directory / self.project
        self._service = service
        self._own = own
        self._files = [*files, self._directory / "own.json"]

    def start(self):
        self._directory.mkdir()
        podman = self._directory / "podman"
        flags = " ".join(self.store.limits)
        podman.write_text("#!/bin/sh\ncommand=$1; shift\n"
                          f"case $command in run|create) set -- {flags} \"$@\";; esac\n"
                          f"exec {' '.join(self.store.podman())} \"$command\" \"$@\"\n")
        podman.chmod(0o755)

    def _compose(self, *words):
        files = [word for file in self._files for word in ("-f", str(file))]
        return [str(self._programs / "podman-compose"), f"--podman-path={self._directory}/podman", "-p", self.project, *files, *words]

    def inside(self, words):
        own = {**self._own, **({"command": words[1:]} if words[1:] else {})}
        self._files[-1].write_text(json.dumps({"services": {self._service: own}}))
        return self._compose("up")

    def stop(self):
        command(self._compose("down", "--volumes"), check=False)


def flags_of(documents, directory, places):
    """podman's flags for the agent of a rendered DaemonSet: what the kubelet would give it. `places` are host paths that a
    test has elsewhere; the ConfigMap's files are written below `directory`."""
    pod = documents["DaemonSet"]["spec"]["template"]["spec"]
    agent, = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    flags = [f"--net={'host' if pod.get('hostNetwork') else 'none'}", *_security(agent["securityContext"]),
             f"--memory={agent['resources']['limits']['memory'].replace('Mi', 'm')}"]
    flags += ["--pid=host"] if pod.get("hostPID") else []
    for mount in agent["volumeMounts"]:
        volume = volumes[mount["name"]]
        if "configMap" in volume:
            source = directory / mount["name"]
            source.mkdir(exist_ok=True)
            for name, text in documents["ConfigMap"]["data"].items():
                (source / name).write_text(text)
        else:
            source = places.get(volume["hostPath"]["path"], volume["hostPath"]["path"])
        flags += ["-v", f"{source}:{mount['mountPath']}:{'ro' if mount.get('readOnly') else 'rw'}"]
    return flags


def _security(context):
    """Of a securityContext. Without a seccomp flag podman's default profile is in force, as RuntimeDefault says."""
    if context.get("privileged"):
        return ["--privileged", "--read-only"]
    capabilities = context["capabilities"]
    return ["--read-only", f"--user={context['runAsUser']}",
            *(f"--cap-drop={name}" for name in capabilities["drop"]), *(f"--cap-add={name}" for name in capabilities["add"]),
            *(["--security-opt=seccomp=unconfined"] if context["seccompProfile"]["type"] == "Unconfined" else []),
            *(["--security-opt=no-new-privileges"] if context.get("allowPrivilegeEscalation") is False else [])]


def command(words, bound=120, check=True, env=None, stdin=""):
    """Runs a command to its end and returns its output, both streams."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=bound, check=False,
                          input=stdin, env={**os.environ, **(env or {})})
    assert not check or done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def _rmdir(directory):
    try:
        directory.rmdir()
    except OSError:  # its last process is on its way out
        pass
