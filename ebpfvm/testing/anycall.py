"""Random programs for one feature that a program type offers: any helper with right and wrong arguments, or early ends.

An early end is a function that LD_ABS, LD_IND or a tail call may end. `ebpfvm.testing.generate` writes programs that
are nearly always accepted. Most of these are rejected, so they compare messages and the order of checks, and they cover
every helper of every type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.btf import types as t
from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.contract.args import Arg
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.insn import Insn
from ebpfvm.loader.object import FuncInfo, MapSpec, Program

if TYPE_CHECKING:
    from random import Random

    from ebpfvm.contract import Dialect, Helper
    from ebpfvm.contract.args import ArgSpec

MAPS: Final = (
    MapSpec("array", 4, 8, 1, name="array"), MapSpec("hash", 4, 8, 4, name="hash"),
    MapSpec("ringbuf", 0, 0, 4096, name="ringbuf"), MapSpec("queue", 0, 8, 4, name="queue"),
    MapSpec("percpu_array", 4, 8, 4, name="percpu"), MapSpec("perf_event_array", 4, 4, 1, name="perf"),
    MapSpec("sockmap", 4, 4, 4, name="sockmap"), MapSpec("bloom_filter", 0, 4, 4, name="bloom"),
    MapSpec("array_of_maps", 4, 4, 2, name="outer", inner=MapSpec("array", 4, 8, 1, name="inner")),
    MapSpec("lpm_trie", 8, 8, 4, 1, name="trie"))
_MEMORY: Final = (Arg.PTR_TO_MEM, Arg.PTR_TO_MAP_KEY, Arg.PTR_TO_MAP_VALUE)
_SIZES: Final = (Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO, Arg.CONST_ALLOC_SIZE_OR_ZERO)
_LEAVE: Final = (Insn(0xB7, 0, 0, 0, 1), Insn(0x95))
_VALUE: Final = 9  # a map value of 8 bytes
_CONTEXT: Final = 6
_RECORD: Final = 8  # a reserved record of a ring buffer, where there is one


class _Call:
    """Write a program that calls one helper."""

    def __init__(self, random: Random, helper: Helper, number: int) -> None:
        self.random, self.helper, self.number = random, helper, number
        self.code: list[Insn] = [Insn(0xBF, _CONTEXT, 1), *(Insn(0x7A, 10, 0, -8 * at) for at in range(1, 17))]
        self.used: list[int] = []
        self.record = random.random() < 0.25

    def map(self, register: int, which: int) -> None:
        if which not in self.used:
            self.used.append(which)
        self.code += [Insn(0x18, register, 1, 0, self.used.index(which)), Insn(0)]

    def or_leave(self) -> None:
        """End the program if R0 is NULL."""
        self.code += [Insn(0x55, 0, 0, 2), *_LEAVE]

    def write(self) -> None:
        self.map(1, 0)
        self.code += [Insn(0xBF, 2, 10), Insn(0x07, 2, 0, 0, -64), Insn(0x85, 0, 0, 0, 1)]
        self.or_leave()
        self.code.append(Insn(0xBF, _VALUE, 0))
        if self.record:
            self.map(1, 2)
            self.code += [Insn(0xB7, 2, 0, 0, 16), Insn(0xB7, 3), Insn(0x85, 0, 0, 0, 131)]
            self.or_leave()
            self.code.append(Insn(0xBF, _RECORD, 0))
        for register, spec in enumerate(self.helper.args, 1):
            self.argument(register, spec)
        self.code.append(Insn(0x85, 0, 0, 0, self.number))
        self.code += self.random.choice(((), (Insn(0x79, 1, 0),), (Insn(0x61, 2, _VALUE),),
                                         (Insn(0x15, 0, 0, 1), Insn(0x79, 1, 0))))
        if self.record and self.random.random() < 0.8:
            self.code += [Insn(0xBF, 1, _RECORD), Insn(0xB7, 2), Insn(0x85, 0, 0, 0, 132)]
        self.code += _LEAVE

    def argument(self, register: int, spec: ArgSpec) -> None:
        right = self.random.random() < 0.8
        if spec.kind is Arg.CONST_MAP_PTR and right:
            fitting = [at for at, item in enumerate(MAPS) if item.name[:4] in self.helper.name]
            self.map(register, self.random.choice(fitting or range(len(MAPS))))
        elif spec.kind is Arg.PTR_TO_CTX and right:
            self.code.append(Insn(0xBF, register, _CONTEXT))
        elif spec.kind in _SIZES and right:
            self.code.append(Insn(0xB7, register, 0, 0, self.random.choice((0, 1, 4, 8, 8, 16, 20, 64, 65, -1))))
        elif spec.kind is Arg.PTR_TO_RINGBUF_MEM and right and self.record:
            self.code.append(Insn(0xBF, register, _RECORD))
        else:
            self.code += self.anything(register, memory=right and spec.kind in _MEMORY)

    def anything(self, register: int, *, memory: bool) -> tuple[Insn, ...]:
        stack = self.random.choice((-8, -16, -24, -64, -512))
        choices: list[tuple[Insn, ...]] = [(Insn(0xBF, register, 10), Insn(0x07, register, 0, 0, stack)),
                                           (Insn(0xBF, register, _VALUE),)]
        if self.record:
            choices.append((Insn(0xBF, register, _RECORD),))
        if not memory:
            choices += [(Insn(0xB7, register),), (Insn(0xB7, register, 0, 0, 8),), (Insn(0xBF, register, 10),),
                        (Insn(0xBF, register, _CONTEXT),), (), (Insn(0xBF, register, _VALUE),
                                                                Insn(0x07, register, 0, 0, 4))]
        return self.random.choice(choices)


def helper_call(random: Random, dialect: Dialect, type: str, attach: str = "") -> Program:
    """Return a program of a type (and hook) that calls one of its helpers."""
    kind = dialect.prog_type(type)
    offered = [(number, found) for number in dialect.helpers
               if (found := dialect.helper(number, kind, attach)) and found.name != "bpf_tail_call"]
    number, found = random.choice(offered)
    made = _Call(random, found, number)
    made.write()
    maps = tuple(MAPS[at] for at in made.used)
    return Program("prog", tuple(made.code), type, "", attach, random.choice(("GPL", "GPL", "GPL", "MIT")), maps)


# -- functions that may end early -------------------------------------------------------------------------------

# The kernel binds a program array to the first program type that uses it, so each type has its own.
_PROGRAMS: Final = {type: MapSpec("prog_array", 4, 4, 4, name=f"of_{type}")
                    for type in ("socket_filter", "sched_cls", "xdp")}
_ENDERS: Final = ("r0 = *(u8 *)skb[{at}]", "r7 = {at}\nr0 = *(u16 *)skb[r7 + 2]",
                  "r1 = r6\nr2 = map[id:0]\nr3 = {at}\ncall 12")
_BEFORE: Final = ("", "call 7\nif r0 > 5 goto +1\nr8 = 1\n", "r8 = r6\n", "*(u64 *)(r10 - 8) = 5\n")
_RESULT: Final = ("r0 = 5", "r0 = r7", "call 7", "r0 = *(u64 *)(r10 - 8)", "r0 = r6", "")
_USE: Final = ("r1 = r10\nr1 += -16\nr1 += r0\n*(u8 *)(r1 + 3) = 5", "r1 = r0", "r9 += r0", "r1 = *(u32 *)(r0 + 0)",
               "r0 &= 7\nr1 = r10\nr1 += -16\nr1 += r0\nr2 = *(u8 *)(r1 + 0)", "if r0 == 0 goto +1\nr9 = r8", "")


def early_end(random: Random, type: str) -> Program:
    """Return a program whose function ends with LD_ABS, LD_IND or a tail call, and whose caller uses the result.

    Args:
        type: "socket_filter", "sched_cls" or "xdp" (which has tail calls only).
    """
    caller = random.choice(("", "r9 = 7\n", "*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 0\n"))
    main = [*assemble(f"{caller}call 0\n{random.choice(_USE)}\nr0 = {random.choice(('0', 'r9', 'r0'))}\nexit")]
    ender = random.choice(_ENDERS if type == "socket_filter" or type.startswith("sched") else _ENDERS[2:])
    inner = assemble("r6 = r1\n" + random.choice(_BEFORE) + ender.format(at=random.choice((0, 3, 4, 14)))
                     + "\n" + random.choice(_RESULT) + "\nexit")
    call = next(at for at, insn in enumerate(main) if insn.code == 0x85)
    main[call] = main[call]._replace(src=1, imm=len(main) - call - 1)
    builder = BtfBuilder()
    number = builder.integer("int", 4, signed=True)
    context = builder.ptr(builder.add(t.Struct("xdp_md" if type == "xdp" else "__sk_buff", 192)))
    proto = builder.add(t.FuncProto(number, (t.Param("ctx", context),)))
    linkage = random.choice((t.Linkage.STATIC, t.Linkage.GLOBAL))
    ids = (builder.add(t.Func("prog", proto, t.Linkage.GLOBAL)), builder.add(t.Func("inner", proto, linkage)))
    infos = (FuncInfo(0, ids[0]), FuncInfo(len(main), ids[1]))
    return Program("prog", (*main, *inner), type, license="GPL", maps=(_PROGRAMS[type],), btf=builder.btf(),
                   func_info=infos)
