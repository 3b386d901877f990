# SPDX-License-Identifier: Apache-2.0
"""What tcpdump captures on the loopback, read by tshark: the final status lines with which servers begin their segments."""

import re
import subprocess
from collections import Counter
from pathlib import Path

from .base import Part, Process, wait_for

_INTERIM = re.compile(rb"(?:HTTP/1\.\d 1(?!01)\d\d .*?\r\n\r\n)+", re.DOTALL)
_FINAL = re.compile(rb"HTTP/1\.\d (\d{3})[ \r]")


class Capture(Part):
    def __init__(self, directory, ports):
        self._file = Path(directory) / "loopback.pcap"
        self._ports = " or ".join(f"tcp src port {port}" for port in ports)
        self._process = Process("tcpdump", ["tcpdump", "-i", "lo", "-U", "-s", "0", "-B", "65536", "-w", self._file, self._ports],
                                directory)

    def start(self):
        self._process.start()
        self._process.ready_when(lambda: "listening on lo" in self._process.text(), 20, "tcpdump listens")

    def stop(self):
        self._process.stop()

    def finish(self, holds):
        """Ends once holds(responses) is true: what was captured last may be on its way to the file. Returns the responses."""
        try:
            wait_for(lambda: holds(self.responses()), 15, "the capture is whole")
        except AssertionError:
            pass  # the caller says what differs
        self.stop()
        assert "\n0 packets dropped by kernel" in self._process.text(), self._process.text()
        return self.responses()

    def responses(self):
        """(server, code) -> final status lines. A server here never begins a segment with a body like one."""
        read = subprocess.run(
            ["tshark", "-r", self._file, "-Y", "tcp.len > 0 && !tcp.analysis.retransmission", "--disable-protocol", "http",
             "-T", "fields", "-e", "tcp.srcport", "-e", "tcp.payload"], capture_output=True, text=True, timeout=60, check=False)
        found = Counter()
        for line in read.stdout.splitlines():
            port, payload = line.split("\t")
            final = _FINAL.match(_INTERIM.sub(b"", bytes.fromhex(payload), count=1))
            if final:
                found[f"127.0.0.1:{port}", int(final[1])] += 1
        return found
