"""bpf(2) by ctypes: load a program, read its log, run it once. Attaches nothing and pins nothing."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

SYS_BPF = {"x86_64": 321, "aarch64": 280}.get(platform.machine(), -1)
MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, PROG_LOAD, TEST_RUN = 0, 1, 2, 5, 10
SOCKET_FILTER, SCHED_CLS, XDP = 1, 3, 6
_ATTR = 160


def bpf(command: int, attr: ctypes.Array[ctypes.c_char]) -> int:
    """The system call: a descriptor or 0, or a negative errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(libc.syscall(SYS_BPF, command, attr, len(attr)))
    return -ctypes.get_errno() if result < 0 else result


def why_not() -> str:
    """Why no kernel can be asked here; "" if one can."""
    if platform.system() != "Linux" or SYS_BPF < 0:
        return "no Linux with a known bpf(2) number"
    loaded = load(bytes.fromhex("b7000000000000009500000000000000"))
    if loaded.fd < 0:
        return f"bpf(2) is not permitted here: {errno.errorcode.get(-loaded.fd, loaded.fd)}"
    os.close(loaded.fd)
    return ""


@dataclass(frozen=True)
class Loaded:
    """Result of a load: descriptor or negative errno, and the log."""

    fd: int
    log: str


def load(code: bytes, type: int = SOCKET_FILTER, log_level: int = 1, flags: int = 0) -> Loaded:
    """BPF_PROG_LOAD of raw instructions under a GPL license; log level 0 is faster and gives no log."""
    insns, license, log = (ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL"),
                           ctypes.create_string_buffer(1 << 20))
    attr = ctypes.create_string_buffer(_ATTR)
    struct.pack_into("<IIQQIIQII", attr, 0, type, len(code) // 8, ctypes.addressof(insns), ctypes.addressof(license),
                     log_level, len(log) if log_level else 0, ctypes.addressof(log) if log_level else 0, 0, flags)
    return Loaded(bpf(PROG_LOAD, attr), log.value.decode(errors="replace"))


@dataclass(frozen=True)
class Ran:
    """Result of a test run: 0 or negative errno, R0, packet and context afterwards."""

    error: int
    retval: int
    data: bytes
    ctx: bytes


def run(fd: int, data: bytes, ctx: bytes = b"", repeat: int = 1, room: int = 4096) -> Ran:
    """BPF_PROG_TEST_RUN."""
    source, out = ctypes.create_string_buffer(data, max(len(data), 1)), ctypes.create_string_buffer(room)
    ctx_in, ctx_out = ctypes.create_string_buffer(ctx, max(len(ctx), 1)), ctypes.create_string_buffer(512)
    attr = ctypes.create_string_buffer(_ATTR)
    struct.pack_into("<IIIIQQIIIIQQ", attr, 0, fd, 0, len(data), room,
                     ctypes.addressof(source) if data else 0, ctypes.addressof(out), repeat, 0,
                     len(ctx), len(ctx_out) if ctx else 0,
                     ctypes.addressof(ctx_in) if ctx else 0, ctypes.addressof(ctx_out) if ctx else 0)
    error = bpf(TEST_RUN, attr)
    retval, _in, size = struct.unpack_from("<III", attr, 4)
    ctx_size = struct.unpack_from("<I", attr, 44)[0]
    return Ran(error, retval, out.raw[:size], ctx_out.raw[:ctx_size] if ctx else b"")
