"""Objects that we linked, given to a real kernel: it must take them, and they must compute what their C says."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ebpfvm.btf import Btf, encode, parse
from ebpfvm.btf import types as t
from ebpfvm.btf.core_match import Target
from ebpfvm.isa.insn import encode as assemble
from ebpfvm.loader import MapSpec, Program, load
from ebpfvm.loading.relocate import POISON, relocate
from tests.kernel import sysbpf

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(bool(sysbpf.why_not()), reason=sysbpf.why_not() or "-"),
]
OBJECTS = Path(__file__).parents[1] / "unit" / "loader" / "objects"
BTF_LOAD = 18
TYPES = {"array": 2}
PROG_ARRAY, ARRAY_OF_MAPS, BLOOM_FILTER = 3, 12, 30


def call(command: int, *fields: tuple[int, str, int]) -> int:
    """bpf(2) with an attr of (offset, format, value)."""
    attr = ctypes.create_string_buffer(160)
    for offset, form, value in fields:
        struct.pack_into("<" + form, attr, offset, value)
    return sysbpf.bpf(command, attr)


def address(data: bytes, held: list[object]) -> int:
    buffer = ctypes.create_string_buffer(data, max(len(data), 1))
    held.append(buffer)
    return ctypes.addressof(buffer)


def load_btf(data: bytes) -> int:
    held: list[object] = []
    return call(BTF_LOAD, (0, "Q", address(data, held)), (16, "I", len(data)))


def make_map(spec: MapSpec) -> int:
    inner = make_map(spec.inner) if spec.inner else 0
    kind = spec.type if isinstance(spec.type, int) else TYPES[spec.type]
    flags = spec.map_flags
    fd = call(sysbpf.MAP_CREATE, (0, "I", kind), (4, "I", spec.key_size), (8, "I", spec.value_size),
              (12, "I", spec.max_entries), (16, "I", flags), (20, "I", inner), (64, "Q", spec.map_extra))
    assert fd >= 0, (spec.name, fd)
    if inner:
        os.close(inner)
    if spec.data is not None:
        held: list[object] = []
        assert call(sysbpf.MAP_UPDATE, (0, "I", fd), (8, "Q", address(bytes(4), held)),
                    (16, "Q", address(spec.data, held))) == 0
    return fd


def with_accesses(program: Program) -> tuple[bytes, bytes]:
    """The program's BTF with the paths of its CO-RE records among the strings, and those records."""
    if program.btf is None:
        return b"", b""
    holder = t.Typedef("holder_of_strings", 0)
    tags = [t.DeclTag(access, len(program.btf)) for access in sorted({relo.access for relo in program.core_relos})]
    data = encode(Btf([*(found for _, found in program.btf.items()), holder, *tags]))
    strings = 24 + struct.unpack_from("<I", data, 12)[0]
    return data, b"".join(struct.pack("<4I", relo.insn_off * 8, relo.type_id,
                                      data.index(b"\0" + relo.access.encode() + b"\0", strings) + 1 - strings,
                                      relo.kind) for relo in program.core_relos)


@contextmanager
def loaded(program: Program, kind: int) -> Iterator[int]:
    """The program in the kernel, with its maps, BTF and func_info."""
    maps = [make_map(spec) for spec in program.maps]
    insns = [insn._replace(imm=maps[insn.imm]) if insn.code == 0x18 and insn.src in (1, 2) else insn
             for insn in program.insns]
    code = assemble(insns)
    held: list[object] = []
    log = ctypes.create_string_buffer(1 << 20)
    infos = b"".join(struct.pack("<II", info.insn_off, info.type_id) for info in program.func_info)
    types, relos = with_accesses(program)
    btf = load_btf(types) if infos else 0
    assert btf >= 0
    btf_fields = [(72, "I", btf), (76, "I", 8), (80, "Q", address(infos, held)),
                  (88, "I", len(program.func_info)), (116, "I", len(relos) // 16), (128, "Q", address(relos, held)),
                  (136, "I", 16)] if btf else []
    fd = call(sysbpf.PROG_LOAD, (0, "I", kind), (4, "I", len(insns)), (8, "Q", address(code, held)),
              (16, "Q", address(program.license.encode() + b"\0", held)), (24, "I", 1), (28, "I", len(log)),
              (32, "Q", ctypes.addressof(log)), *btf_fields)
    assert fd >= 0, log.value.decode(errors="replace")
    try:
        yield fd
    finally:
        for each in [fd, *maps, *([btf] if btf else [])]:
            os.close(each)


def result(name: str, program: str, kind: int = sysbpf.SCHED_CLS) -> int:
    with loaded(load(OBJECTS / f"{name}.o").programs[program], kind) as fd:
        ran = sysbpf.run(fd, bytes(64))
        assert ran.error == 0
        return ran.retval


@pytest.mark.parametrize("name", ["calls", "calls-v1", "calls-v2", "calls-v4"])
def test_subprograms_and_callbacks(name: str) -> None:
    assert result(name, "first") == 45
    assert result(name, "second") == 6
    assert result(name, "third") == 1


def test_without_btf() -> None:
    assert result("nobtf", "first", sysbpf.XDP) == 3 * (3 * 2) + 1


RELOCATED = load(OBJECTS / "corekernel.o").programs


@pytest.fixture(scope="module")
def vmlinux() -> Target:
    path = Path("/sys/kernel/btf/vmlinux")
    if not path.exists():
        pytest.skip("this kernel shows no types")
    return Target(parse(path.read_bytes(), check=False))


@pytest.mark.parametrize("name", RELOCATED)
def test_the_kernel_relocates_as_we_do(name: str, vmlinux: Target) -> None:
    program = RELOCATED[name]
    assert program.core_relos
    ours = relocate(program, vmlinux)
    if any(insn.imm == POISON for insn in ours.insns):
        with pytest.raises(AssertionError, match=str(POISON)), loaded(program, sysbpf.SCHED_CLS):
            pass
        return
    assert run_once(ours) == run_once(program)


def run_once(program: Program) -> int:
    with loaded(program, sysbpf.SCHED_CLS) as fd:
        return sysbpf.run(fd, bytes(64)).retval
