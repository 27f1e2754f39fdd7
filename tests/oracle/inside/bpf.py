"""Guest: bare bpf(2) from ctypes (x86-64). Works on any Linux, not only in the guest."""

from __future__ import annotations

import ctypes
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)
_NR_BPF = 321
MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, MAP_NEXT_KEY, PROG_LOAD, TEST_RUN, BTF_LOAD, MAP_FREEZE = 0, 1, 2, 4, 5, 10, 18, 22
LINK_CREATE = 28
PROGRAM_TYPES = [
    "unspec", "socket_filter", "kprobe", "sched_cls", "sched_act", "tracepoint", "xdp", "perf_event",
    "cgroup_skb", "cgroup_sock", "lwt_in", "lwt_out", "lwt_xmit", "sock_ops", "sk_skb", "cgroup_device",
    "sk_msg", "raw_tracepoint", "cgroup_sock_addr", "lwt_seg6local", "lirc_mode2", "sk_reuseport",
    "flow_dissector", "cgroup_sysctl", "raw_tracepoint_writable", "cgroup_sockopt", "tracing", "struct_ops",
    "ext", "lsm", "sk_lookup", "syscall", "netfilter"]
MAP_TYPES = [
    "unspec", "hash", "array", "prog_array", "perf_event_array", "percpu_hash", "percpu_array", "stack_trace",
    "cgroup_array", "lru_hash", "lru_percpu_hash", "lpm_trie", "array_of_maps", "hash_of_maps", "devmap",
    "sockmap", "cpumap", "xskmap", "sockhash", "cgroup_storage", "reuseport_sockarray", "percpu_cgroup_storage",
    "queue", "stack", "sk_storage", "devmap_hash", "struct_ops", "ringbuf", "inode_storage", "task_storage",
    "bloom_filter", "user_ringbuf", "cgrp_storage", "arena"]


def buffer(data: bytes) -> ctypes.Array:
    return ctypes.create_string_buffer(data, max(len(data), 1))


def address(buf: ctypes.Array | None) -> int:
    return 0 if buf is None else ctypes.addressof(buf)


def call(command: int, attr: bytes) -> tuple[int, int, bytes]:
    """bpf(2): (result, errno, the attr as the kernel left it)."""
    box = buffer(attr)
    result = _libc.syscall(_NR_BPF, command, box, len(attr))
    return result, ctypes.get_errno() if result < 0 else 0, box.raw


def number(names: list[str], what: str | int) -> int:
    return what if isinstance(what, int) else names.index(what)


def check(result: tuple[int, int, bytes], what: str) -> int:
    if result[0] < 0:
        raise OSError(result[1], f"{what}: {os.strerror(result[1])}")
    return result[0]


def create_map(kind: str | int, key: int, value: int, entries: int, flags: int = 0, inner_fd: int = 0,
               btf: tuple = (), extra: int = 0, name: str = "") -> int:
    """BPF_MAP_CREATE; btf: (fd, key type id, value type id)."""
    attr = struct.pack("<IIIIII I16sI III I Q", number(MAP_TYPES, kind), key, value, entries, flags, inner_fd, 0,
                       name.encode()[:15], 0, *(btf or (0, 0, 0)), 0, extra)
    return check(call(MAP_CREATE, attr.ljust(80, b"\0")), "BPF_MAP_CREATE")


def freeze(fd: int) -> None:
    """BPF_MAP_FREEZE: user space writes no more."""
    check(call(MAP_FREEZE, struct.pack("<I", fd)), "BPF_MAP_FREEZE")


def update(fd: int, key: bytes, value: bytes, flags: int = 0) -> None:
    k, v = buffer(key), buffer(value)
    check(call(MAP_UPDATE, struct.pack("<IIQQQ", fd, 0, address(k), address(v), flags)), "BPF_MAP_UPDATE_ELEM")


def lookup(fd: int, key: bytes, size: int) -> bytes | None:
    k, v = buffer(key), buffer(bytes(size))
    return v.raw[:size] if call(MAP_LOOKUP, struct.pack("<IIQQQ", fd, 0, address(k), address(v), 0))[0] >= 0 else None


def keys(fd: int, size: int, most: int) -> list[bytes]:
    found: list[bytes] = []
    here = None
    while len(found) < most:
        box = buffer(bytes(size))
        k = None if here is None else buffer(here)
        if call(MAP_NEXT_KEY, struct.pack("<IIQQQ", fd, 0, address(k), address(box), 0))[0] < 0:
            break
        here = box.raw[:size]
        found.append(here)
    return found


def load_btf(data: bytes) -> int:
    box = buffer(data)
    return check(
        call(BTF_LOAD, struct.pack("<QQIII", address(box), 0, len(data), 0, 0).ljust(40, b"\0")), "BPF_BTF_LOAD"
    )


_log = buffer(bytes(1 << 24))


def load(
    insns: bytes,
    kind: str | int,
    license: str = "GPL",
    log_level: int = 1,
    flags: int = 0,
    attach_type: int = 0,
    attach_btf_id: int = 0,
    btf_fd: int = 0,
    func_info: bytes = b"",
    line_info: bytes = b"",
) -> tuple[int | None, int, str]:
    """BPF_PROG_LOAD: (fd or None, errno, log)."""
    code, gpl, funcs, lines = buffer(insns), buffer(license.encode() + b"\0"), buffer(func_info), buffer(line_info)
    _log[0] = b"\0"
    log = (log_level, len(_log), address(_log)) if log_level else (0, 0, 0)
    attr = struct.pack(
        "<II QQ IIQ II 16s II I IQI IQI I",
        number(PROGRAM_TYPES, kind),
        len(insns) // 8,
        address(code),
        address(gpl),
        *log,
        0,
        flags,
        b"oracle",
        0,
        attach_type,
        btf_fd,
        8 if func_info else 0,
        address(funcs) if func_info else 0,
        len(func_info) // 8,
        16 if line_info else 0,
        address(lines) if line_info else 0,
        len(line_info) // 16,
        attach_btf_id,
    )
    result, error, _ = call(PROG_LOAD, attr.ljust(144, b"\0"))
    return (
        (result if result >= 0 else None),
        error,
        ctypes.string_at(address(_log)).decode(errors="replace") if log_level else "",
    )


def test_run(fd: int, data: bytes | None, ctx: bytes | None = None, repeat: int = 1, flags: int = 0) -> dict:
    """BPF_PROG_TEST_RUN; data and ctx go in and come out as bytes."""
    data_in, ctx_in = None if data is None else buffer(data), None if ctx is None else buffer(ctx)
    data_out = None if data is None else buffer(bytes(len(data) + 4096))
    ctx_out = None if ctx is None else buffer(bytes(max(len(ctx), 256)))
    attr = struct.pack(
        "<IIIIQQIIIIQQIII",
        fd,
        0,
        len(data or b""),
        0 if data_out is None else len(data_out),
        address(data_in),
        address(data_out),
        repeat,
        0,
        len(ctx or b""),
        0 if ctx_out is None else len(ctx_out),
        address(ctx_in),
        address(ctx_out),
        flags,
        0,
        0,
    )
    result, error, after = call(TEST_RUN, attr.ljust(80, b"\0"))
    _, retval, _, size, _, _, _, duration, _, ctx_size = struct.unpack_from("<IIIIQQIIII", after)
    if result < 0:
        return {"errno": error}
    return {
        "errno": 0,
        "retval": retval,
        "data": None if data_out is None else data_out.raw[:size].hex(),
        "ctx": None if ctx_out is None else ctx_out.raw[:ctx_size].hex(),
        "ns": duration,
    }
