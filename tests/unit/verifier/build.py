"""Programs of several functions with BTF, and calls of kernel functions by name, for tests of the verifier."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ebpfvm.btf import types as t
from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.dialects.linux import linux
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.insn import Insn
from ebpfvm.loader.object import FuncInfo, MapSpec, Program
from ebpfvm.verifier import verify

MAPS = (MapSpec("array", 4, 16, 2, name="arr"), MapSpec("hash", 8, 24, 8, name="hash"),
        MapSpec("prog_array", 4, 4, 4, name="progs"), MapSpec("ringbuf", 0, 0, 4096, name="rb"))
RESERVE = "r1 = map[id:3]\nr2 = 16\nr3 = 0\ncall 131\nif r0 == 0 goto out\nr6 = r0\n"
SUBMIT = "r1 = r6\nr2 = 0\ncall 132\n"
OUT = "\nout:\nr0 = 0\nexit\n"
_MARK = 100_000


@dataclass(frozen=True)
class Fn:
    """A function: `text` calls kernel functions and functions of the program as `call @name`, and takes the address
    of the latter as `r1 = @name`."""

    name: str
    text: str
    params: tuple[str, ...] = ("int",)
    result: str = "int"
    static: bool = False
    tags: tuple[str, ...] = ()


def build(*functions: Fn | str, type: str = "sched_cls", maps: tuple[MapSpec, ...] = MAPS,
          builder: BtfBuilder | None = None) -> Program:
    """A program; its first function (a plain text is one named "prog") is the entry."""
    made = [Fn("prog", item, ("ptr",)) if isinstance(item, str) else item for item in functions]
    names: list[str] = []

    def mark(match: re.Match[str]) -> str:
        if match[2] not in names:
            names.append(match[2])
        return f"{match[1]}{_MARK + names.index(match[2])}" + (" ll" if "=" in match[1] else "")
    insns: list[Insn] = []
    starts = {}
    for item in made:
        starts[item.name] = len(insns)
        insns += assemble(re.sub(r"(call |r\d+ = )@(\w+)", mark, item.text))
    kfuncs = {}
    for pc, insn in enumerate(insns):
        name = names[insn.imm - _MARK] if insn.code in (0x85, 0x18) and insn.imm >= _MARK else ""
        if name in starts:
            insns[pc] = insn._replace(src=4 if insn.code == 0x18 else 1, imm=starts[name] - pc - 1)
        elif name:
            insns[pc] = insn._replace(src=2)
            kfuncs[insn.imm] = name
    builder = builder or BtfBuilder()
    infos = _types(builder, made, starts)
    return Program(name=made[0].name, insns=tuple(insns), type=type, license="GPL", maps=maps, kfuncs=kfuncs,
                   btf=builder.btf(), func_info=infos)


def _types(builder: BtfBuilder, made: list[Fn], starts: dict[str, int]) -> tuple[FuncInfo, ...]:
    ids = {"void": 0, "int": builder.integer("int", 4, signed=True)}
    ids["ptr"] = builder.ptr(builder.add(t.Struct("__sk_buff", 192)))
    ids["number"] = builder.ptr(ids["int"])
    ids["dynptr"] = builder.ptr(builder.add(t.Struct("bpf_dynptr", 16)))
    infos = []
    for item in made:
        params = tuple(t.Param(f"a{at}", ids[name]) for at, name in enumerate(item.params))
        proto = builder.add(t.FuncProto(ids[item.result], params))
        func = builder.add(t.Func(item.name, proto, t.Linkage.STATIC if item.static else t.Linkage.GLOBAL))
        for tag in item.tags:
            builder.add(t.DeclTag(tag, func, -1))
        infos.append(FuncInfo(starts[item.name], func))
    return tuple(infos)


def message(program: Program, version: tuple[int, int] = (6, 18)) -> str:
    """What a verifier says, "" for acceptance."""
    return verify(program, linux(version)).message
