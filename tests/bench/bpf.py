# SPDX-License-Identifier: Apache-2.0
"""The little of bpf(2) that measuring needs, through libbpf: programs' figures, attaching for a moment, filling maps."""

import ctypes
import fcntl
import mmap
import os
import platform
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_lib = ctypes.CDLL("libbpf.so.1", use_errno=True)
for _pointer in ("bpf_object__open", "bpf_object__next_map", "bpf_object__next_program", "bpf_map__name", "bpf_program__name"):
    getattr(_lib, _pointer).restype = ctypes.c_void_p

# Of linux/bpf.h.
HOOKS = {"sockops": 3, "ingress": 0, "egress": 1}  # attach types
_TYPES = {"sockops": 13, "ingress": 8, "egress": 8}  # program types
_EVENT_RESPONSE = 1  # of bpf/layout.h


def _call(name, *arguments):
    result = getattr(_lib, name)(*arguments)
    if result < 0:
        error = ctypes.get_errno() or -result
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


class Runs(NamedTuple):
    count: int
    ns: int

    def __add__(self, other):
        return Runs(self.count + other.count, self.ns + other.ns)

    def __sub__(self, other):
        return Runs(self.count - other.count, self.ns - other.ns)

    @property
    def each(self):
        return self.ns / self.count if self.count else 0.0


class Program:
    """A loaded program, held by its descriptor."""

    def __init__(self, fd):
        self.fd = fd

    def _info(self, offset, form):
        info, size = ctypes.create_string_buffer(256), ctypes.c_uint32(256)
        _call("bpf_obj_get_info_by_fd", self.fd, info, ctypes.byref(size))
        return struct.unpack_from(form, info, offset)

    def runs(self):
        """Counted only where kernel.bpf_stats_enabled is on."""
        ns, count = self._info(192, "QQ")
        return Runs(count, ns)

    @property
    def verified(self):
        """Instructions that the verifier has walked through."""
        return self._info(216, "I")[0]

    @property
    def instructions(self):
        return self._info(20, "I")[0] // 8


def empty_programs():
    """hook -> a program that returns 1 and nothing else: the floor of the method."""
    code = struct.pack("<BBhi", 0xB7, 0, 0, 1) + struct.pack("<BBhi", 0x95, 0, 0, 0)  # r0 = 1; exit
    return {hook: Program(_call("bpf_prog_load", _TYPES[hook], b"empty", b"GPL", code, ctypes.c_size_t(2), None))
            for hook in HOOKS}


def pinned_programs(pin_path):
    """hook -> the program that an agent's pinned links run."""
    programs = {}
    for hook in HOOKS:
        pin = next(Path(pin_path).glob(f"*/links/*-{hook}"))
        link = _call("bpf_obj_get", str(pin).encode())
        info, size = ctypes.create_string_buffer(256), ctypes.c_uint32(256)
        _call("bpf_obj_get_info_by_fd", link, info, ctypes.byref(size))
        os.close(link)
        programs[hook] = Program(_call("bpf_prog_get_fd_by_id", struct.unpack_from("I", info, 8)[0]))
    return programs


@contextmanager
def attached(programs, cgroup):
    """They run for the sockets of this cgroup as long as the block lasts. The links die with this process at the latest."""
    directory = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
    links = []
    try:
        for hook, program in programs.items():
            links.append(_call("bpf_link_create", program.fd, directory, HOOKS[hook], None))
        yield
    finally:
        for link in links:
            os.close(link)
        os.close(directory)


class PinnedProbe:
    """What an agent's pinned link of a probe runs, held until it is closed. Asks the kernel where the probe is (Linux 6.6)."""

    def __init__(self, link, counting, probed):
        pinned = _call("bpf_obj_get", str(link).encode())
        info, size = ctypes.create_string_buffer(256), ctypes.c_uint32(256)
        _call("bpf_obj_get_info_by_fd", pinned, info, ctypes.byref(size))
        os.close(pinned)
        self._program = _call("bpf_prog_get_fd_by_id", struct.unpack_from("I", info, 8)[0])
        self._offset = struct.unpack_from("I", info, 36)[0]
        self._counting, self._probed = (_call("bpf_obj_get", str(pin).encode()) for pin in (counting, probed))
        self._cpus = _call("libbpf_num_possible_cpus")

    def close(self):
        for fd in (self._program, self._counting, self._probed):
            os.close(fd)

    @contextmanager
    def attached(self, pid):
        """As the agent attaches it."""
        source = int(Path("/sys/bus/event_source/devices/uprobe/type").read_text())
        path = ctypes.create_string_buffer(f"/proc/{pid}/exe".encode())
        attributes = struct.pack("II48xQQ40x", source, 112, ctypes.addressof(path), self._offset)
        event = ctypes.CDLL(None, use_errno=True).syscall(298, attributes, pid, -1, -1, 8)  # perf_event_open(2), close on exec
        if event < 0:
            raise OSError(ctypes.get_errno(), f"perf_event_open: {os.strerror(ctypes.get_errno())}")
        try:
            fcntl.ioctl(event, 0x40042408, self._program)  # PERF_EVENT_IOC_SET_BPF
            yield
        finally:
            os.close(event)

    def responses(self):
        """All that it has counted."""
        last, key, counts = None, ctypes.create_string_buffer(272), (ctypes.c_uint64 * self._cpus)()
        total = 0
        while _lib.bpf_map_get_next_key(self._probed, last, key) == 0:
            _call("bpf_map_lookup_elem", self._probed, key, counts)
            total += sum(counts)
            last = key
        return total


class Table:
    """One of the agent's pinned tables of bpf/maps.h: a hash of slots and the counts by slot, one CPU's in a row."""

    _NAMES = {"totals": (0, "total_counts"), "requests": (1, "request_counts")}  # of enum upstat_table

    def __init__(self, pin_path, name):
        number, counts = self._NAMES[name]
        self._number = ctypes.c_uint32(number)
        self._keys, self._slots, memory = (_call("bpf_obj_get", str(next(Path(pin_path).glob(f"*/{pin}"))).encode())
                                           for pin in (name, "slots", counts))
        self._row, entries = self._entries(self._keys), self._entries(memory)
        self._counts = memoryview(mmap.mmap(memory, entries * 8)).cast("Q")
        os.close(memory)
        self._slot_of = {}

    @staticmethod
    def _entries(fd):
        info, size = ctypes.create_string_buffer(256), ctypes.c_uint32(256)
        _call("bpf_obj_get_info_by_fd", fd, info, ctypes.byref(size))
        return struct.unpack_from("I", info, 16)[0]

    def close(self):
        os.close(self._keys)
        os.close(self._slots)

    def set(self, key, count):
        """Only where nothing else counts: a new key takes the next slot."""
        if key not in self._slot_of:
            self._slot_of[key] = self._add(key)
        self._counts[self._slot_of[key] - 1] = count

    def _add(self, key):
        value = (ctypes.c_uint32 * 2)()  # struct upstat_slots
        _call("bpf_map_lookup_elem", self._slots, ctypes.byref(self._number), value)
        value[1] += 1
        slot = ctypes.c_uint32(value[1])
        _call("bpf_map_update_elem", self._keys, key, ctypes.byref(slot), ctypes.c_uint64(0))
        _call("bpf_map_update_elem", self._slots, ctypes.byref(self._number), value, ctypes.c_uint64(0))
        return slot.value

    def items(self):
        """Of (key, the sum over the CPUs)."""
        last, key, slot = None, ctypes.create_string_buffer(64), ctypes.c_uint32()
        while _lib.bpf_map_get_next_key(self._keys, last, key) == 0:
            _call("bpf_map_lookup_elem", self._keys, key, ctypes.byref(slot))
            if slot.value:
                yield bytes(key), sum(self._counts[slot.value - 1::self._row])
            last = key


def responses(totals):
    """All responses counted so far."""
    return sum(count for key, count in totals.items() if key[22] == _EVENT_RESPONSE)


# Keys as bpf/layout.h has them.
def server_key(address, port):
    """An IPv4 address as an IPv4-mapped one."""
    mapped = bytes(10) + b"\xff\xff" + bytes(int(part) for part in address.split("."))
    return mapped + struct.pack("HH", port, 0)


def response_key(server, code, method):
    """Of users' responses."""
    return server + struct.pack("HBB4x", code, _EVENT_RESPONSE, method)


def request_key(server):
    return server + bytes(4)


def counts_instructions():
    """A sentence: whether this machine counts the instructions that are executed."""
    attributes = struct.pack("IIQ48x", 0, 64, 1)  # PERF_TYPE_HARDWARE, PERF_ATTR_SIZE_VER0, PERF_COUNT_HW_INSTRUCTIONS
    number = {"x86_64": 298, "aarch64": 241}.get(platform.machine())
    if number is None:
        return "instructions executed: not asked on this architecture"
    fd = ctypes.CDLL(None, use_errno=True).syscall(number, attributes, 0, -1, -1, 0)
    if fd < 0:
        return f"instructions executed: this machine does not tell (perf_event_open: {os.strerror(ctypes.get_errno())})"
    os.close(fd)
    return "instructions executed: this machine counts them; `bpftool prog profile id N duration 5 instructions` shows a program's"


@contextmanager
def statistics():
    """kernel.bpf_stats_enabled: each run is timed, which itself takes about 40 ns."""
    setting = Path("/proc/sys/kernel/bpf_stats_enabled")
    before = setting.read_text()
    setting.write_text("1")
    try:
        yield
    finally:
        setting.write_text(before)


def load(path, pin_path):
    """name -> each program of an object file, upon the maps that an agent has pinned."""
    loaded = ctypes.c_void_p(_lib.bpf_object__open(str(path).encode()))
    assert loaded, f"{path} cannot be opened: {os.strerror(ctypes.get_errno())}"
    for one in _each("map", loaded):
        pins = list(Path(pin_path).glob(f"*/{_name('map', one)}"))
        _call("bpf_map__set_pin_path", one, None)
        if pins:
            fd = _call("bpf_obj_get", str(pins[0]).encode())
            _call("bpf_map__reuse_fd", one, fd)  # which makes one of its own of it
            os.close(fd)
    _call("bpf_object__load", loaded)
    return {_name("program", one): Program(_call("bpf_program__fd", one)) for one in _each("program", loaded)}


def _each(what, loaded):
    one = ctypes.c_void_p(getattr(_lib, f"bpf_object__next_{what}")(loaded, None))
    while one:
        yield one
        one = ctypes.c_void_p(getattr(_lib, f"bpf_object__next_{what}")(loaded, one))


def _name(what, one):
    return ctypes.string_at(getattr(_lib, f"bpf_{what}__name")(one)).decode()
