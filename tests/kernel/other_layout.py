# SPDX-License-Identifier: Apache-2.0
"""Upstats of another layout: this very tree, but for keys and socket states whose members stand elsewhere."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

TOP = Path(__file__).parents[2]

# A reader that took the one layout for the other would see other servers, codes and methods.
TOTAL_KEY = """struct upstat_total_key {
    __u8 method;
    __u8 event;
    __u16 whose;
    __u32 detail;
    struct upstat_server_key server;
    __u32 route;
};"""
SERVER_KEY = """struct upstat_server_key {
    __u32 port;
    __u32 zone;
    __u8 address[16] __attribute__((aligned(4)));
};"""

SLOTS = """struct upstat_slots {
    __u32 unused;
    struct bpf_spin_lock lock;
    __u32 given;
};"""


def edit(text, pattern, replacement):
    """A test that silently changed nothing would prove nothing."""
    changed, times = re.subn(pattern, replacement, text, flags=re.DOTALL)
    assert times == 1, f"{pattern!r} stands {times} times in the source"
    return changed


def rewritten(sources, sockets):
    """The files of bpf/ with the next layout version."""
    layout = sources["layout.h"]
    version = int(re.search(r"UPSTAT_LAYOUT_VERSION (\d+)", layout)[1])
    layout = edit(layout, r"UPSTAT_LAYOUT_VERSION \d+", f"UPSTAT_LAYOUT_VERSION {version + 1}")
    layout = edit(layout, r"struct upstat_server_key \{.*?\n\};", SERVER_KEY)
    layout = edit(layout, r"struct upstat_total_key \{.*?\n\};", TOTAL_KEY)
    layout = edit(layout, r"struct upstat_slots \{.*?\n\};", SLOTS)
    layout = edit(layout, r"sizeof\(struct upstat_server_key\) == \d+", "sizeof(struct upstat_server_key) == 24")
    layout = edit(layout, r"sizeof\(struct upstat_request_key\) == \d+", "sizeof(struct upstat_request_key) == 28")
    layout = edit(layout, r"sizeof\(struct upstat_total_key\) == \d+", "sizeof(struct upstat_total_key) == 36")
    changed = {**sources, "layout.h": layout}
    if sockets:
        changed["state.h"] = edit(sources["state.h"], r"(struct socket_state \{\s+struct bpf_spin_lock lock;)", r"\1 __u64 wider;")
    return changed


def write(directory, texts):
    """What stays as it is keeps its time, and is not compiled again."""
    for name, text in texts.items():
        path = directory / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def link(tree):
    """All but bpf/ is the real tree's."""
    for directory in ("bpf", "tests"):
        (tree / directory).mkdir(parents=True, exist_ok=True)
    for name in ("CMakeLists.txt", "userspace", "tests/unit", "tests/tools"):
        if not (tree / name).is_symlink():
            (tree / name).symlink_to(TOP / name)


def build(build_directory):
    """Two binaries, in a directory of their own below the build's and compiled only when something has changed: one that
    differs in everything, and one that has the sockets' state of the real one, so that it can be carried over."""
    home = Path(build_directory) / "layout-test"
    binaries = home / "upstat-other", home / "upstat-same-sockets"
    link(home / "tree")
    sources = {path.name: path.read_text() for path in (TOP / "bpf").glob("*.[ch]")}
    built = home / "built-from"
    state = digest([__file__, TOP / "CMakeLists.txt", *(TOP / "bpf").glob("*"), *(TOP / "userspace").rglob("*.?pp")])
    if not built.exists() or built.read_text() != state:
        for binary, sockets in zip(binaries, (True, False)):
            write(home / "tree" / "bpf", rewritten(sources, sockets))
            run("cmake", "-G", "Ninja", "-S", home / "tree", "-B", home, "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O0")
            run("cmake", "--build", home, "--target", "upstat")
            shutil.copy2(home / "upstat", binary)
        built.write_text(state)
    return binaries


def digest(paths):
    total = hashlib.sha256()
    for path in sorted(map(str, paths)):
        total.update(path.encode() + Path(path).read_bytes())
    return total.hexdigest()


def run(*command):
    said = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=1800, check=False)
    assert said.returncode == 0, f"{command}:\n{said.stdout[-4000:]}{said.stderr[-4000:]}"
