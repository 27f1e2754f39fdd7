"""The tables of the dialect linux-6.18 are a running 6.18's: who may call what, with which arguments, and which part of
a context may be read or written."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import struct
from functools import cache
from pathlib import Path

import pytest

from ebpfvm.btf import types as t
from ebpfvm.btf.parse import parse
from ebpfvm.contract import Arg, ArgSpec, Helper
from ebpfvm.dialects import linux
from ebpfvm.isa.insn import Insn, encode
from tests.kernel import sysbpf

pytestmark = pytest.mark.kernel

TYPES = {sysbpf.SOCKET_FILTER: "socket_filter", sysbpf.SCHED_CLS: "sched_cls", sysbpf.XDP: "xdp"}
DIALECT = linux((6, 18))
EXIT = [Insn(0xB7, 0), Insn(0x95)]
SIZES = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}


@cache
def _why_not() -> str:
    release = platform.release()
    return sysbpf.why_not() or ("" if re.match(r"6\.18\b", release) else f"this is Linux {release}, not 6.18")


@pytest.fixture(autouse=True)
def _kernel() -> None:
    if _why_not():
        pytest.skip(_why_not())


def _judge(type: int, code: list[Insn]) -> tuple[bool, str]:
    """Accepted? and the last line of the log."""
    loaded = sysbpf.load(encode(code), type)
    if loaded.fd >= 0:
        os.close(loaded.fd)
    lines = [line for line in loaded.log.splitlines() if line and not line.startswith("processed")]
    return loaded.fd >= 0, lines[-1] if lines else ""


@pytest.mark.parametrize("type", TYPES)
def test_who_may_call_which_helper(type: int) -> None:
    prog_type = DIALECT.prog_type(TYPES[type])
    zeros = [Insn(0xB7, number) for number in range(1, 6)]
    for number, helper in DIALECT.helpers.items():
        _, message = _judge(type, [*zeros, Insn(0x85, 0, 0, 0, number), *EXIT])
        offered = "cannot use helper" not in message
        assert offered == (DIALECT.helper(number, prog_type) is not None), helper.name
        assert offered or f"{helper.name}#{number}" in message
    assert "invalid func unknown#212" in _judge(type, [*zeros, Insn(0x85, 0, 0, 0, 212), *EXIT])[1]


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("write", [False, True])
def test_context_fields(type: int, write: bool) -> None:
    prog_type = DIALECT.prog_type(TYPES[type])
    for off in range(prog_type.ctx_size + 9):
        for size, bits in SIZES.items():
            access = [Insn(0xB7, 2), Insn(0x63 | bits, 1, 2, off)] if write else [Insn(0x61 | bits, 2, 1, off)]
            accepted, message = _judge(type, [*access, *EXIT])
            ours = prog_type.ctx_access(off, size, write) is not None
            assert accepted == ours, f"{'write' if write else 'read'} of {size} bytes at {off}: {message}"


@cache
def _kfuncs() -> dict[str, int]:
    """Name -> BTF id of the running kernel's kfuncs."""
    path = Path("/sys/kernel/btf/vmlinux")
    if not path.exists():
        pytest.skip("this kernel shows no BTF")
    btf = parse(path.read_bytes(), check=False)
    found = {}
    for number in range(1, len(btf)):
        tag = btf[number]
        if isinstance(tag, t.DeclTag) and tag.name == "bpf_kfunc":
            function = btf[tag.type]
            if isinstance(function, t.Func):
                found[function.name] = tag.type
    return found


@pytest.mark.parametrize("type", TYPES)
def test_who_may_call_which_kfunc(type: int) -> None:
    prog_type = DIALECT.prog_type(TYPES[type])
    compared = 0
    for name, number in _kfuncs().items():
        if name in DIALECT.kfuncs:
            _, message = _judge(type, [Insn(0x85, 0, 2, 0, number), *EXIT])
            assert ("is not allowed" not in message) == (name in prog_type.kfuncs), name
            compared += 1
    assert compared > 100


# -- contracts -------------------------------------------------------------------------------------------------------

_MAPS = {"tail_call": (3, 4, 4), "perf_event": (4, 4, 4), "ringbuf_": (27, 0, 0), "map_push": (22, 0, 8),
         "map_pop": (22, 0, 8), "map_peek": (22, 0, 8), "under_cgroup": (8, 4, 4), "redirect_map": (14, 4, 4),
         "lookup_percpu": (6, 4, 8)}


@cache
def _map(type: int, key: int, value: int, flags: int = 0) -> int:
    attr = ctypes.create_string_buffer(160)
    struct.pack_into("<IIIII", attr, 0, type, key, value, 4096 if type == 27 else 1, flags)
    fd = sysbpf.bpf(sysbpf.MAP_CREATE, attr)
    assert fd >= 0
    return fd


def _right(helper: Helper, spec: ArgSpec, register: int) -> list[Insn] | None:
    """Code for an argument that fits, None where we cannot make one."""
    kind = spec.kind
    if kind is Arg.CONST_MAP_PTR:
        shape = next((shape for part, shape in _MAPS.items() if part in helper.name), (2, 4, 8))
        return [Insn(0x18, register, 1, 0, _map(*shape)), Insn(0)]
    if kind is Arg.PTR_TO_CTX:
        return [Insn(0xBF, register, 6)]
    if kind in (Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO):
        return [Insn(0xB7, register, 0, 0, 8)]
    if kind in (Arg.PTR_TO_MEM, Arg.PTR_TO_MAP_KEY, Arg.PTR_TO_MAP_VALUE):
        return [Insn(0xBF, register, 10), Insn(0x07, register, 0, 0, -64)]
    return [Insn(0xB7, register)] if kind in (Arg.ANYTHING, Arg.DONTCARE) else None


def _setup(type: int) -> list[Insn]:
    """R6 is the context, R7 a packet pointer with 64 proven bytes, the stack is zero."""
    data, end = {sysbpf.SCHED_CLS: (76, 80), sysbpf.XDP: (0, 4)}[type]
    return [Insn(0xBF, 6, 1), *[Insn(0x7A, 10, 0, -8 * slot) for slot in range(1, 17)],
            Insn(0x61, 7, 1, data), Insn(0x61, 8, 1, end), Insn(0xBF, 2, 7), Insn(0x07, 2, 0, 0, 64),
            Insn(0xBD, 2, 8, 2), *EXIT]


class _Probe:
    """Calls of one helper with one argument replaced."""

    def __init__(self, type: int, number: int, helper: Helper, right: list[list[Insn]]) -> None:
        self.type, self.number, self.helper, self.right = type, number, helper, right

    def accepts(self, index: int = -1, other: list[Insn] | None = None) -> bool:
        args = list(self.right)
        if other is not None:
            args[index] = other
        code = [*_setup(self.type), *[insn for arg in args for insn in arg], Insn(0x85, 0, 0, 0, self.number)]
        accepted, message = _judge(self.type, [*code, *EXIT])
        return accepted or "reference leak" in message

    def check(self, index: int, spec: ArgSpec) -> None:
        register, name = index + 1, f"{self.helper.name} R{index + 1}"
        if spec.kind is Arg.ANYTHING:
            assert self.accepts(index, [Insn(0xBF, register, 10)]), f"{name} takes anything"
            assert not self.accepts(index, [Insn(0xBF, register, 0)]), f"{name} is read"
        elif spec.kind is Arg.DONTCARE:
            assert self.accepts(index, []), f"{name} is not looked at"
        elif spec.kind in (Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO):
            assert self.accepts(index, [Insn(0xB7, register)]) == (spec.kind is Arg.CONST_SIZE_OR_ZERO), f"{name} zero"
        elif spec.kind in (Arg.PTR_TO_MEM, Arg.PTR_TO_MAP_KEY, Arg.PTR_TO_MAP_VALUE):
            if not spec.maybe_null:
                assert not self.accepts(index, [Insn(0xB7, register)]), f"{name} NULL"
            assert self.accepts(index, [Insn(0xBF, register, 7)]) == self.helper.pkt_access, f"{name} packet"
            if spec.kind is Arg.PTR_TO_MEM:
                frozen = [Insn(0x18, register, 2, 0, _map(2, 4, 64, 0x80)), Insn(0)]
                assert self.accepts(index, frozen) != (spec.write or spec.uninit), f"{name} read-only memory"
        elif spec.kind is Arg.PTR_TO_CTX:
            assert self.accepts(index, [Insn(0xB7, register)]) == spec.maybe_null, f"{name} NULL"


@pytest.mark.parametrize("type", [sysbpf.SCHED_CLS, sysbpf.XDP])
def test_contracts(type: int) -> None:
    prog_type, checked = DIALECT.prog_type(TYPES[type]), 0
    for number in DIALECT.helpers:
        helper = DIALECT.helper(number, prog_type)
        if helper is None or helper.might_sleep or helper.name == "bpf_tail_call":
            continue
        right = [_right(helper, spec, register) for register, spec in enumerate(helper.args, 1)]
        if not all(code is not None for code in right):
            continue
        probe = _Probe(type, number, helper, [code for code in right if code is not None])
        assert probe.accepts(), helper.name
        for index, spec in enumerate(helper.args):
            probe.check(index, spec)
        checked += 1
    assert checked > 50


@pytest.mark.parametrize("type", [sysbpf.SCHED_CLS])
def test_gpl_only(type: int) -> None:
    """Read off the message, which comes before any argument is looked at."""
    prog_type = DIALECT.prog_type(TYPES[type])
    for number in DIALECT.helpers:
        helper = DIALECT.helper(number, prog_type)
        if helper is not None:
            assert ("GPL-restricted" in _mit(type, number)) == helper.gpl_only, helper.name


def _mit(type: int, number: int) -> str:
    code = encode([*[Insn(0xB7, register) for register in range(1, 6)], Insn(0x85, 0, 0, 0, number), *EXIT])
    insns, license, log = (ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"MIT"),
                           ctypes.create_string_buffer(1 << 16))
    attr = ctypes.create_string_buffer(160)
    struct.pack_into("<IIQQIIQ", attr, 0, type, len(code) // 8, ctypes.addressof(insns), ctypes.addressof(license),
                     1, len(log), ctypes.addressof(log))
    fd = sysbpf.bpf(sysbpf.PROG_LOAD, attr)
    if fd >= 0:
        os.close(fd)
    return log.value.decode()


# -- maps ------------------------------------------------------------------------------------------------------------

# Number of a map type -> key size, value size, entries.
_SHAPES = {1: (4, 8, 4), 2: (4, 8, 1), 3: (4, 4, 4), 4: (4, 4, 1), 5: (4, 8, 4), 6: (4, 8, 4), 8: (4, 4, 1),
           9: (4, 8, 4), 10: (4, 8, 4), 14: (4, 4, 1), 15: (4, 4, 1), 16: (4, 4, 1), 17: (4, 4, 1), 18: (4, 4, 1),
           20: (4, 8, 1), 22: (0, 8, 4), 23: (0, 8, 4), 25: (4, 4, 1), 27: (0, 0, 4096), 30: (0, 8, 4),
           31: (0, 0, 4096)}


@pytest.mark.parametrize("number", _SHAPES)
def test_which_helper_takes_which_map(number: int) -> None:
    attr = ctypes.create_string_buffer(160)
    struct.pack_into("<IIII", attr, 0, number, *_SHAPES[number])
    fd = sysbpf.bpf(sysbpf.MAP_CREATE, attr)
    if fd < 0:
        pytest.skip(f"no such map here: {os.strerror(-fd)}")
    map_type, compared = DIALECT.map_types[number], 0
    try:
        for function in DIALECT.helpers:
            helper = DIALECT.helper(function, DIALECT.prog_type("sched_cls"))
            if helper is None or not any(spec.kind is Arg.CONST_MAP_PTR for spec in helper.args):
                continue
            args = [[Insn(0x18, register, 1, 0, fd), Insn(0)] if spec.kind is Arg.CONST_MAP_PTR
                    else _right(helper, spec, register) for register, spec in enumerate(helper.args, 1)]
            if any(code is None for code in args):
                continue
            code = [*_setup(sysbpf.SCHED_CLS), *[insn for code in args for insn in code or ()]]
            accepted, message = _judge(sysbpf.SCHED_CLS, [*code, Insn(0x85, 0, 0, 0, function), *EXIT])
            refused = "cannot pass map_type" in message or "expected prog array" in message
            if refused or accepted or "reference leak" in message:  # other messages come before this question
                assert refused != (helper.name in map_type.funcs), f"{helper.name}: {message}"
                compared += 1
    finally:
        os.close(fd)
    assert compared > 3
