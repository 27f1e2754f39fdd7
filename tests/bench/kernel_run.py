"""The kernel's own JIT as a contestant, through BPF_PROG_TEST_RUN, where bpf(2) is permitted."""

from __future__ import annotations

import ctypes
import os
import struct

from ebpfvm.isa.insn import encode
from ebpfvm.loader.object import Program
from tests.kernel import sysbpf

_MAP_TYPES = {"hash": 1, "array": 2, 1: 1, 2: 2}


class KernelRun:
    """A program in the kernel; closes what it opened.

    Raises:
        OSError: the kernel refuses the program or a map.
    """

    def __init__(self, program: Program, packet: bytes) -> None:
        self.packet = packet
        self.fds: list[int] = []
        maps = [self._map(spec.type, spec.key_size, spec.value_size, spec.max_entries) for spec in program.maps]
        insns = [insn._replace(imm=maps[insn.imm]) if insn.is_ld_imm64 and insn.src == 1 else insn
                 for insn in program.insns]
        loaded = sysbpf.load(encode(insns), sysbpf.SCHED_CLS, log_level=0)
        if loaded.fd < 0:
            self.close()
            raise OSError(-loaded.fd, f"the kernel refuses {program.name}")
        self.fd = loaded.fd
        self.fds.append(loaded.fd)

    def _map(self, kind: str | int, key: int, value: int, entries: int) -> int:
        attr = ctypes.create_string_buffer(160)
        struct.pack_into("<IIII", attr, 0, _MAP_TYPES[kind], key, value, entries)
        fd = sysbpf.bpf(sysbpf.MAP_CREATE, attr)
        if fd < 0:
            raise OSError(-fd, "the kernel refuses a map")
        self.fds.append(fd)
        return fd

    def run(self, repeat: int) -> tuple[int, float]:
        """(r0, microseconds per run) of `repeat` runs."""
        source = ctypes.create_string_buffer(self.packet, len(self.packet))
        attr = ctypes.create_string_buffer(160)
        struct.pack_into("<IIIIQQI", attr, 0, self.fd, 0, len(self.packet), 0, ctypes.addressof(source), 0, repeat)
        error = sysbpf.bpf(sysbpf.TEST_RUN, attr)
        if error < 0:
            raise OSError(-error, "TEST_RUN")
        retval, duration = struct.unpack_from("<I", attr, 4)[0], struct.unpack_from("<I", attr, 36)[0]
        return retval, duration / 1000  # the kernel gives ns per run

    def close(self) -> None:
        """Give everything back to the kernel."""
        for fd in self.fds:
            os.close(fd)
        self.fds = []
