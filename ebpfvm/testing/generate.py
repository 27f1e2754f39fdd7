"""Random programs that a verifier should accept, from the instruction table and a dialect's declarations.

`program` writes a program of any of `TYPES` from a random source: arithmetic of every row, branches, bounded loops, the
stack with spills, context fields, packet access after bounds checks, map lookups with NULL checks, variable offsets,
atomic operations, helpers by their contracts, functions and callbacks, ring buffers, and for queueing disciplines of
the RFC, packets that are acquired, stored and released. Nearly all are accepted; `mutate` then breaks them a little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.loader.object import FuncInfo, Program
from ebpfvm.testing import generated_calls, generated_packets, generated_qdiscs, generated_special
from ebpfvm.testing.builder import RegKind
from ebpfvm.testing.writer import MAPS, Shared, Writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from ebpfvm.btf.types import Btf
    from ebpfvm.contract import Dialect
    from ebpfvm.isa.insn import Insn

TYPES: Final = ("sched_cls", "xdp", "socket_filter", "cgroup_skb", "qdisc")
"""Types of programs that are written; "qdisc" only for the RFC's dialect."""

NETWORKING: Final = (*TYPES, "sched_act", "lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local", "sk_skb", "sk_msg",
                     "flow_dissector", "cgroup_sock", "cgroup_sock_addr", "cgroup_sockopt", "sock_ops", "sk_lookup",
                     "sk_reuseport", "netfilter")
"""Types that `program` can also write; `TYPES` are those of the campaigns."""


class ProgramWriter(Writer):
    """Write one function of a program, from all the steps that its type allows."""

    def steps(self, count: int) -> None:
        """Write `count` steps of a few instructions each."""
        makers: list[tuple[int, Callable[[], None]]] = [
            (9, self.alu), (3, self.constant), (3, self.move), (4, self.branch), (2, self.loop), (5, self.store),
            (5, self.load), (4, self.context), (4, self.lookup), (6, self.access), (3, self.variable),
            (2, self.atomic), (3, lambda: generated_calls.helper(self)), (2, self.spill), (2, self.fill),
            (2, lambda: generated_calls.function(self)), (1, lambda: generated_calls.callback(self)),
            (1, lambda: generated_calls.ring(self)), (1, lambda: generated_calls.dynptr(self)),
            (1, lambda: generated_calls.socket(self)), (1, self.bound)]
        makers += [(1, lambda: generated_special.may_goto(self)), (1, lambda: generated_special.iterator(self)),
                   (1, lambda: generated_special.lock(self)), (1, lambda: generated_special.global_function(self))]
        if self.type.ld_abs:
            makers += [(1, lambda: generated_special.legacy(self))]
        if self.type.packet_read:
            makers += [(6, lambda: generated_packets.direct_access(self))]
        if self.type.name == "qdisc":
            makers += [(6, lambda: generated_qdiscs.packets(self))]
        weights = [weight for weight, _ in makers]
        for _ in range(count):
            self.random.choices(makers, weights)[0][1]()


def program(random: Random, dialect: Dialect, type: str = "sched_cls", length: int = 12) -> Program:
    """Return a random program.

    Args:
        random: source of all decisions; equal ones yield equal programs.
        dialect: determines program types, helpers and kfuncs.
        type: one of `NETWORKING`.
        length: number of steps of its main function, each of one to a few instructions.
    """
    attach = random.choice(("enqueue", "dequeue")) if type == "qdisc" else ""
    shared = Shared()
    kind = dialect.prog_type(type)
    if type == "qdisc":
        shared.maps = (*MAPS, generated_qdiscs.STORE)
    elif type != "socket_filter":  # which may not use locks
        shared.maps = (*MAPS, generated_special.LOCKED)
    main = ProgramWriter(random, dialect, kind, attach, shared)
    shared.functions.append(main)
    main.known.regs[1] = RegKind("ctx")
    main.mov(6, 1)
    main.steps(length)
    main.set(0, random.choice((0, 1)) if kind.returns else random.choice((0, 1, 2, -1)))
    main.emit(0x95)
    return put_together(shared, type, attach)


def linked(shared: Shared) -> tuple[tuple[Insn, ...], list[int]]:
    """Return the code of a program's functions in sequence, and where each begins."""
    starts: list[int] = []
    code: list[Insn] = []
    for function in shared.functions:
        starts.append(len(code))
        code += function.code
    for start, function in zip(starts, shared.functions, strict=True):
        for at in function.links:
            pc = start + at
            code[pc] = code[pc]._replace(imm=starts[code[pc].imm] - pc - 1)
    return tuple(code), starts


def put_together(shared: Shared, type: str, attach: str) -> Program:
    """Return one program made of functions, with the BTF that callbacks need."""
    code, starts = linked(shared)
    btf, ids = _functions(len(starts), frozenset(shared.globals))
    infos = tuple(FuncInfo(start, number) for start, number in zip(starts, ids, strict=True))
    return Program("prog", code, type, "", attach, "GPL", shared.maps, dict(shared.kfuncs), {}, btf, infos)


_BTF: dict[tuple[int, frozenset[int]], tuple[Btf, tuple[int, ...]]] = {}  # saves repeated work


def _functions(count: int, globals: frozenset[int]) -> tuple[Btf, tuple[int, ...]]:
    key = count, globals
    if key not in _BTF:
        builder = BtfBuilder()
        ids = generated_special.prototypes(builder, count, globals)
        _BTF[key] = builder.btf(), ids
    return _BTF[key]
