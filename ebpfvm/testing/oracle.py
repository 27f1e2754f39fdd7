"""A real kernel's verdict: load programs through bpf(2), without attaching or pinning anything.

Only program types that must be attached before they run are loaded, so loading has no effect. This requires permission
to call bpf(2); `why_not()` returns why the kernel cannot be asked.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ebpfvm.btf import encode as encode_btf
from ebpfvm.btf import parse as parse_btf
from ebpfvm.btf import types as t
from ebpfvm.errors import UsageError
from ebpfvm.isa.insn import Insn
from ebpfvm.isa.insn import encode as encode_insns
from ebpfvm.lazy_dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ebpfvm.btf.types import Btf
    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.loader.object import MapSpec, Program

_SYSCALL: Final = {"x86_64": 321, "aarch64": 280}.get(platform.machine(), -1)
_MAP_CREATE, _MAP_UPDATE, _PROG_LOAD, _BTF_LOAD, _MAP_FREEZE = 0, 2, 5, 18, 22
ATTR: Final = 160
"""Bytes of the argument of bpf(2)."""
TYPES: Final = {"socket_filter": 1, "sched_cls": 3, "xdp": 6}
OBJECT_TYPES: Final = TYPES | {
    "sched_act": 4, "cgroup_skb": 8, "cgroup_sock": 9, "lwt_in": 10, "lwt_out": 11, "lwt_xmit": 12, "sock_ops": 13,
    "sk_skb": 14, "cgroup_device": 15, "sk_msg": 16, "cgroup_sock_addr": 18, "lwt_seg6local": 19, "sk_reuseport": 21,
    "flow_dissector": 22, "cgroup_sysctl": 23, "cgroup_sockopt": 25, "sk_lookup": 30, "syscall": 31, "netfilter": 32}
_KEPT_FLAGS: Final = 0x3B  # strict or any alignment, every state kept, sleepable, XDP of many buffers
# Attach types in the order of their numbers.
_HOOKS: Final = """
cgroup_inet_ingress cgroup_inet_egress cgroup_inet_sock_create cgroup_sock_ops sk_skb_stream_parser
sk_skb_stream_verdict cgroup_device sk_msg_verdict cgroup_inet4_bind cgroup_inet6_bind cgroup_inet4_connect
cgroup_inet6_connect cgroup_inet4_post_bind cgroup_inet6_post_bind cgroup_udp4_sendmsg cgroup_udp6_sendmsg
lirc_mode2 flow_dissector cgroup_sysctl cgroup_udp4_recvmsg cgroup_udp6_recvmsg cgroup_getsockopt
cgroup_setsockopt trace_raw_tp trace_fentry trace_fexit modify_return lsm_mac trace_iter
cgroup_inet4_getpeername cgroup_inet6_getpeername cgroup_inet4_getsockname cgroup_inet6_getsockname xdp_devmap
cgroup_inet_sock_release xdp_cpumap sk_lookup xdp sk_skb_verdict sk_reuseport_select
sk_reuseport_select_or_migrate perf_event trace_kprobe_multi lsm_cgroup struct_ops netfilter tcx_ingress
tcx_egress trace_uprobe_multi cgroup_unix_connect cgroup_unix_sendmsg cgroup_unix_recvmsg
cgroup_unix_getpeername cgroup_unix_getsockname netkit_primary netkit_peer
"""


def expected_attach(program: Program) -> int:
    """Return the number of the attach type that the program's section implies, 0 for none."""
    hooks = _HOOKS.split()
    return hooks.index(program.attach_type) if program.attach_type in hooks else 0


def load_flags(program: Program) -> int:
    """Return the flags that a kernel receives with the program."""
    return program.flags & _KEPT_FLAGS | (0x10 if program.sleepable else 0)


def bpf(command: int, attr: ctypes.Array[ctypes.c_char]) -> int:
    """Make the system call and return a descriptor or 0, or a negative errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(libc.syscall(_SYSCALL, command, attr, len(attr)))
    return -ctypes.get_errno() if result < 0 else result


def _fields(*fields: tuple[int, str, int]) -> ctypes.Array[ctypes.c_char]:
    attr = ctypes.create_string_buffer(ATTR)
    for offset, form, value in fields:
        struct.pack_into("<" + form, attr, offset, value)
    return attr


@cache
def why_not() -> str:
    """Return why no kernel can be asked here; "" if one can."""
    if platform.system() != "Linux" or _SYSCALL < 0:
        return "no Linux with a known bpf(2) number"
    judged = load((Insn(0xB7), Insn(0x95)), 1)
    return "" if judged.ok else f"bpf(2) is not permitted here: {errno.errorcode.get(judged.errno, judged.errno)}"


def kernel_version() -> tuple[int, int]:
    """Return (major, minor) of the running kernel."""
    major, minor = platform.release().split(".")[:2]
    return int(major), int("".join(char for char in minor if char.isdigit()))


@dataclass(frozen=True, slots=True)
class Judgement:
    """The kernel's verdict: `errno` is positive, 0 if accepted; `log` has the requested level."""

    ok: bool
    errno: int
    log: str

    @property
    def lines(self) -> list[str]:
        """The log without the line of statistics at its end."""
        return [line for line in self.log.splitlines() if line and not line.startswith("processed ")]

    @property
    def processed(self) -> int:
        """The number of instructions processed, according to the last line of the log."""
        last = self.log.rstrip().rpartition("processed ")[2].split(" ")[0]
        return int(last) if last.isdigit() else 0


def load(insns: Iterable[Insn], type: int, *extra: tuple[int, str, int], log_level: int = 1,
         license: str = "GPL", flags: int = 0, room: int = 1 << 19) -> Judgement:
    """Load a program with BPF_PROG_LOAD, unload it at once, and return the verdict."""
    fd, text = open_program(insns, type, *extra, log_level=log_level, license=license, flags=flags, room=room)
    if fd >= 0:
        os.close(fd)
    return Judgement(fd >= 0, max(-fd, 0), text)


def open_program(insns: Iterable[Insn], type: int, *extra: tuple[int, str, int], log_level: int = 0,
                 license: str = "GPL", flags: int = 0, room: int = 1 << 19) -> tuple[int, str]:
    """Load a program with BPF_PROG_LOAD; return its descriptor, or a negative errno, and the log."""
    code = encode_insns(insns)
    text = ctypes.create_string_buffer(code, len(code))
    terms = ctypes.create_string_buffer(license.encode())
    log = ctypes.create_string_buffer(room if log_level else 1)
    attr = _fields((0, "I", type), (4, "I", len(code) // 8), (8, "Q", ctypes.addressof(text)),
                   (16, "Q", ctypes.addressof(terms)), (24, "I", log_level), (28, "I", room if log_level else 0),
                   (32, "Q", ctypes.addressof(log) if log_level else 0), (44, "I", flags), *extra)
    return bpf(_PROG_LOAD, attr), log.value.decode(errors="replace")


class Oracle:
    """Ask the kernel about whole programs, with maps, BTF and kfuncs; maps and BTF are kept until `close`."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._by_id: dict[int, tuple[MapSpec, int]] = {}
        self._btf: dict[int, tuple[Btf, int]] = {}
        self._strings: dict[int, bytes] = {}

    def __enter__(self) -> Oracle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close maps and BTF."""
        for fd in [*(fd for _, fd in self._by_id.values()), *(fd for _, fd in self._btf.values())]:
            os.close(fd)
        self._by_id.clear()
        self._btf.clear()

    def judge(self, program: Program, log_level: int = 1) -> Judgement:
        """Return the kernel's verdict on `program`.

        Raises:
            UsageError: its type is not in `OBJECT_TYPES`, or its maps cannot be created.
        """
        held: list[object] = []
        type, insns, extra = self._request(program, held)
        for room in (1 << 19, 1 << 24):  # a log that does not fit makes the load fail with ENOSPC, whatever the verdict
            judged = load(insns, type, *extra, log_level=log_level, license=program.license,
                          flags=load_flags(program), room=room)
            if judged.errno != errno.ENOSPC:
                break
        return judged

    def open(self, program: Program) -> int:
        """Load a program and return its descriptor, or a negative errno.

        Raises:
            UsageError: as for `judge`.
        """
        held: list[object] = []
        type, insns, extra = self._request(program, held)
        return open_program(insns, type, *extra, license=program.license, flags=load_flags(program))[0]

    def _request(self, program: Program, held: list[object]) -> tuple[int, list[Insn], list[tuple[int, str, int]]]:
        """Return type, instructions and records as bpf(2) takes them; `held` keeps the memory of the records."""
        type = self.dialect.prog_type(program.type).name
        if type not in OBJECT_TYPES:
            raise UsageError(f"the oracle does not load programs of type {type}")
        extra = self._records(program, held) if program.func_info and program.btf is not None else []
        return (OBJECT_TYPES[type], [self._insn(program, insn) for insn in program.insns],
                [*extra, (68, "I", expected_attach(program))])

    def _insn(self, program: Program, insn: Insn) -> Insn:
        if insn.code == 0x18 and insn.src in (1, 2) and 0 <= insn.imm < len(program.maps):
            return insn._replace(imm=self.map_fd(program.maps[insn.imm]))
        if insn.code == 0x85 and insn.src == 2 and insn.imm in program.kfuncs:
            return insn._replace(imm=_function_id(program.kfuncs[insn.imm]))
        return insn

    def _records(self, program: Program, held: list[object]) -> list[tuple[int, str, int]]:
        assert program.btf is not None
        infos = b"".join(struct.pack("<II", info.insn_off, info.type_id) for info in program.func_info)
        fd = self.btf_fd(program.btf)
        found = [(72, "I", fd), (76, "I", 8), (80, "Q", _address(infos, held)), (88, "I", len(program.func_info))]
        strings = self._strings[id(program.btf)]
        lines = b"".join(
            struct.pack("<4I", line.insn_off, string_offset(strings, line.file), string_offset(strings, line.text),
                        line.line << 10 | line.column) for line in program.line_info)
        if lines and b"\0" in strings:
            found += [(92, "I", 16), (96, "Q", _address(lines, held)), (104, "I", len(program.line_info))]
        return found

    def btf_fd(self, btf: Btf) -> int:
        """Load BTF with BPF_BTF_LOAD, once for each."""
        if id(btf) not in self._btf:
            data = encode_btf(without_externs(btf))
            held: list[object] = []
            log = ctypes.create_string_buffer(1 << 20)
            text = [(0, "Q", _address(data, held)), (16, "I", len(data))]
            fd = bpf(_BTF_LOAD, _fields(*text))  # a log that does not fit would make the load fail
            if fd < 0:
                bpf(_BTF_LOAD, _fields(*text, (8, "Q", ctypes.addressof(log)), (20, "I", len(log)), (24, "I", 1)))
            if fd < 0:
                raise UsageError(f"the kernel refuses the BTF: {log.value.decode(errors='replace')[-300:]}")
            self._btf[id(btf)] = (btf, fd)
            start = 24 + struct.unpack_from("<I", data, 12)[0]
            self._strings[id(btf)] = data[start:]
        return self._btf[id(btf)][1]

    def map_fd(self, spec: MapSpec) -> int:
        """Create a map with BPF_MAP_CREATE, once for each."""
        if id(spec) in self._by_id:
            return self._by_id[id(spec)][1]
        number = next(number for number, item in self.dialect.map_types.items()
                      if item is self.dialect.map_type(spec.type))
        fields = [(0, "I", number), (4, "I", spec.key_size), (8, "I", spec.value_size), (12, "I", spec.max_entries),
                  (16, "I", spec.map_flags), (64, "Q", spec.map_extra)]
        if spec.name.replace("_", "").replace(".", "").isalnum():
            fields += [(28 + at, "B", char) for at, char in enumerate(spec.name.encode()[:15])]
        if spec.inner is not None:
            fields.append((20, "I", self.map_fd(spec.inner)))
        if spec.btf is not None and spec.value_type:
            fields += [(48, "I", self.btf_fd(spec.btf)), (52, "I", spec.key_type), (56, "I", spec.value_type)]
        fd = bpf(_MAP_CREATE, _fields(*fields))
        if fd < 0 and spec.btf is not None:
            fd = bpf(_MAP_CREATE, _fields(*fields[:6]))
        if fd < 0:
            raise UsageError(f"the kernel makes no map {spec.name!r}: {os.strerror(-fd)}")
        if spec.data is not None:
            held: list[object] = []
            bpf(_MAP_UPDATE, _fields((0, "I", fd), (8, "Q", _address(bytes(4), held)),
                                     (16, "Q", _address(spec.data, held))))
            if spec.map_flags & 0x80:
                bpf(_MAP_FREEZE, _fields((0, "I", fd)))
        self._by_id[id(spec)] = (spec, fd)
        return fd


def without_externs(btf: Btf) -> Btf:
    """Return BTF with placeholders for extern functions and their section, which kernels refuse."""
    changes: dict[int, t.Type] = {}
    for type_id, found in btf.items():
        if (isinstance(found, t.Func) and found.linkage == t.Linkage.EXTERN) or (
                isinstance(found, t.Datasec) and found.name == ".ksyms"):
            changes[type_id] = t.Int(f"extern_{type_id}", 4, 32)
    return btf.replaced(changes) if changes else btf


def _address(data: bytes, held: list[object]) -> int:
    buffer = ctypes.create_string_buffer(data, max(len(data), 1))
    held.append(buffer)
    return ctypes.addressof(buffer)


def string_offset(strings: bytes, text: str) -> int:
    """Return the offset of a text in BTF's string section, 0 if it is not there."""
    at = strings.find(b"\0" + text.encode() + b"\0")
    return at + 1 if at >= 0 else 0


@cache
def _vmlinux() -> Btf:
    return parse_btf(Path("/sys/kernel/btf/vmlinux").read_bytes(), check=False)


def _function_id(name: str) -> int:
    found = _vmlinux().find(name, t.Kind.FUNC)
    if found is None:
        raise UsageError(f"the kernel has no function {name}")
    return found
