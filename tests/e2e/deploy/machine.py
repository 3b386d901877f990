# SPDX-License-Identifier: Apache-2.0
"""A Debian with systemd in a container: an everyday host, with a network of its own."""

import ctypes
import fcntl
import hashlib
import os
import re
from pathlib import Path

from containers import command
from parts.base import Part, unique_name, wait_for

_BASE = ["systemd", "systemd-sysv", "udev"]
# The container's cgroup v2 tree, whole and alone, as on a host of today; and the bpffs that systemd mounts on a host.
_BOOT = """
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup && mount -t bpf bpf /sys/fs/bpf && exec /sbin/init
"""


def packages_of(binaries):
    """The Debian packages that a root needs for these binaries of this host to run in it."""
    libraries = {Path(library).resolve() for binary in binaries
                 for library in re.findall(r"(/\S+)", command(["sh", "-c", 'ldd "$0" || true', binary]))}
    packages = set()
    for path in map(str, libraries):
        # dpkg knows some files by their path from before /usr was merged.
        owners = command(["sh", "-c", 'dpkg-query -S "$0" || dpkg-query -S "${0#/usr}" || true', path])
        packages |= {line.split(":")[0] for line in owners.splitlines() if line.endswith(path) or path.endswith(line.split()[-1])}
    return sorted(packages)


def debian_root(build, packages):
    """The tar of a minimal Debian of this host's release with systemd and these packages; made once, kept under `build`."""
    wanted = ",".join([*_BASE, *packages])
    release = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(), re.M)
    assert release, "/etc/os-release names no VERSION_CODENAME: the systemd test needs a Debian host"
    directory = Path(build).resolve() / "rootfs"
    directory.mkdir(parents=True, exist_ok=True)
    tar = directory / f"{release[1]}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}.tar"
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs may want it at once
        if not tar.exists():
            half = tar.with_name(f"half-{tar.name}")
            command(["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={wanted}",
                     '--aptopt=APT::Sandbox::User "root"', release[1], half], bound=900)
            half.rename(tar)
    return tar


class Machine(Part):
    """volumes: path on this host -> path inside."""

    def __init__(self, store, root_tar, volumes):
        self.store = store
        self.name = unique_name()
        self._tar = root_tar
        self._volumes = volumes
        self.pid = 0

    def start(self):
        root = self.store.path / self.name
        root.mkdir()
        command(["tar", "-xf", self._tar, "-C", root])
        volumes = [word for here, there in self._volumes.items() for word in ("-v", f"{here}:{there}")]
        self.store.run("run", "--detach", "--name", self.name, *self.store.flags, "--cgroupns=private", "--network=none", "--systemd=always",
                       *volumes, "--rootfs", root, "sh", "-c", _BOOT)
        self.pid = int(self.store.run("inspect", "--format={{.State.Pid}}", self.name))
        wait_for(lambda: self.systemctl("is-system-running", check=False).strip() == "running", 60,
                 lambda: f"systemd is up: {self.systemctl('--failed', check=False)}")

    def stop(self):
        self.store.run("rm", "--force", "--time=0", "--ignore", self.name, check=False)

    def run(self, *words, check=True, bound=60):
        return self.store.run("exec", self.name, *words, check=check, bound=bound)

    def systemctl(self, *words, check=True):
        return self.run("systemctl", *words, check=check)

    def write(self, path, text):
        """A file inside, through a volume or the root."""
        file = self.store.path / self.name / str(path).lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def journal(self, unit):
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}", check=False)

    def main_pid(self, unit):
        """The main process of a unit, by its id inside."""
        return int(self.systemctl("show", "--property=MainPID", "--value", unit))


class Unit:
    """As the `cgroup` of a Process: makes the process's command a systemd unit of the machine, starts that, and shows its
    journal for as long as the Process lives."""

    def __init__(self, machine, name, settings=()):
        self.machine = machine
        self.name = name
        self.settings = settings

    def inside(self, words):
        text = ["[Service]", f"ExecStart={' '.join(map(str, words))}", *self.settings]
        self.machine.write(f"/etc/systemd/system/{self.name}.service", "\n".join(text) + "\n")
        script = (f"systemctl daemon-reload && systemctl start {self.name} && "
                  f"exec journalctl --follow --output=cat --unit={self.name}")
        return self.machine.store.podman("exec", self.machine.name, "sh", "-c", script)


class InNetwork(Part):
    """Inside, this thread, the threads that it starts and its children are in the network of another process."""

    _NEW_NETWORK = 0x40000000

    def __init__(self, pid):
        self._pid = pid
        self._home = None
        self._libc = ctypes.CDLL(None, use_errno=True)

    def start(self):
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/proc/{self._pid}/ns/net", os.O_RDONLY)
        try:
            self._enter(there)
        finally:
            os.close(there)

    def stop(self):
        if self._home is not None:
            self._enter(self._home)
            os.close(self._home)

    def _enter(self, descriptor):
        if self._libc.setns(descriptor, self._NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), "setns")
