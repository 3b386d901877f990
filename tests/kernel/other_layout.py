# SPDX-License-Identifier: Apache-2.0
"""An upstat of another layout: this very tree, but for keys and socket states whose members stand elsewhere."""

import re
import subprocess
from pathlib import Path

TOP = Path(__file__).parents[2]

# A reader that took the one layout for the other would see other servers, codes and methods.
TOTAL_KEY = """struct upstat_total_key {
    __u8 method;
    __u8 event;
    __u16 unused;
    __u32 detail;
    struct upstat_server_key server;
};"""
SERVER_KEY = """struct upstat_server_key {
    __u32 port;
    __u32 unused;
    __u8 address[16] __attribute__((aligned(4)));
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
    layout = edit(layout, r"sizeof\(struct upstat_server_key\) == \d+", "sizeof(struct upstat_server_key) == 24")
    layout = edit(layout, r"sizeof\(struct upstat_total_key\) == \d+", "sizeof(struct upstat_total_key) == 32")
    changed = {**sources, "layout.h": layout}
    if sockets:
        changed["socket.h"] = edit(sources["socket.h"], r"(struct socket_state \{\s+struct bpf_spin_lock lock;)", r"\1 __u64 wider;")
    return changed


def build(build_directory, sockets=True):
    """The binary, in a directory of its own below the build's; compiled once. With `sockets` the sockets' state is another
    too, so that requests in flight are unknown to the other one's programs."""
    home = Path(build_directory) / ("layout-test" if sockets else "layout-test-same-sockets")
    tree = home / "tree"
    for directory in ("bpf", "tests"):
        (tree / directory).mkdir(parents=True, exist_ok=True)
    for name in ("CMakeLists.txt", "userspace", "tests/unit", "tests/tools"):
        if not (tree / name).is_symlink():
            (tree / name).symlink_to(TOP / name)
    sources = {path.name: path.read_text() for path in (TOP / "bpf").glob("*.[ch]")}
    for name, text in rewritten(sources, sockets).items():
        path = tree / "bpf" / name
        if not path.exists() or path.read_text() != text:  # what stays as it is keeps its time, and is not compiled again
            path.write_text(text)
    run("cmake", "-G", "Ninja", "-S", tree, "-B", home, "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O0")
    run("cmake", "--build", home, "--target", "upstat")
    return home / "upstat"


def run(*command):
    said = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=1800, check=False)
    assert said.returncode == 0, f"{command}:\n{said.stdout[-4000:]}{said.stderr[-4000:]}"
