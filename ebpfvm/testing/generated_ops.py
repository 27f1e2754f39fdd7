"""Random programs for the members of `Qdisc_ops`, and whole random qdiscs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.loader.object import FuncInfo, MapSpec, Program
from ebpfvm.testing import generated_calls, generated_graphs, generated_kernel, generated_special
from ebpfvm.testing.builder import RegKind
from ebpfvm.testing.generate import linked
from ebpfvm.testing.ops_types import OPS
from ebpfvm.testing.writer import Shared, Writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from ebpfvm.btf.types import Btf
    from ebpfvm.contract import Dialect

MEMBERS: Final = ("enqueue", "dequeue", "init", "reset", "destroy")


class OpsWriter(Writer):
    """Write one function of a program for a member of `Qdisc_ops`.

    Attributes:
        graphs: how many times as often as usual its steps are those with lists and trees.
    """

    graphs = 1

    def steps(self, count: int) -> None:
        """Write `count` steps of a few instructions each."""
        makers: list[tuple[int, Callable[[], None]]] = [
            (5, self.alu), (2, self.constant), (2, self.move), (4, self.branch), (2, self.loop), (3, self.store),
            (3, self.load), (3, self.lookup), (3, self.access), (1, self.variable), (1, self.atomic), (2, self.spill),
            (2, self.fill), (1, self.bound), (2, lambda: generated_calls.helper(self)),
            (2, lambda: generated_calls.function(self)), (1, lambda: generated_calls.callback(self)),
            (1, lambda: generated_calls.ring(self)), (1, lambda: generated_special.may_goto(self)),
            (2, lambda: generated_special.iterator(self)), (1, lambda: generated_special.global_function(self)),
            (4, lambda: generated_kernel.read(self)), (4, lambda: generated_kernel.write(self)),
            (2, lambda: generated_kernel.walk(self)), (2, lambda: generated_kernel.call(self))]
        if not self.depth:
            makers += [(1, lambda: generated_kernel.rcu(self)), (1, lambda: generated_kernel.section(self)),
                       (2, lambda: generated_kernel.dynptr(self)), (3, lambda: generated_kernel.slot(self)),
                       (5 * self.graphs, lambda: generated_graphs.put(self)),
                       (5 * self.graphs, lambda: generated_graphs.pull(self)),
                       (4 * self.graphs, lambda: generated_graphs.look(self)),
                       (self.graphs, lambda: generated_graphs.empty(self)), (1, lambda: generated_graphs.alone(self))]
        weights = [weight for weight, _ in makers]
        for _ in range(count):
            self.random.choices(makers, weights)[0][1]()


class GraphsWriter(OpsWriter):
    """Write one function of a program that mostly uses lists and trees, which it has in common with others."""

    graphs = 8


def program(random: Random, dialect: Dialect, member: str, length: int = 6) -> Program:
    """Return a random program for a member of `Qdisc_ops` that a verifier should accept.

    Args:
        random: source of all decisions; equal ones yield equal programs.
        dialect: determines helpers and kernel functions.
        member: one of `MEMBERS`.
        length: number of steps of its main function, each of one to about thirty instructions.
    """
    shared = _written(random, dialect, member, length)
    return _assembled(member, shared, *_types(len(shared.functions), frozenset(shared.globals)))


def qdisc(random: Random, dialect: Dialect, length: int = 6) -> dict[str, Program]:
    """Return random programs for all members, which have types and maps in common, as those of one object have.

    Args:
        random, dialect, length: as for `program`.
    """
    written = {member: _written(random, dialect, member, length, GraphsWriter) for member in MEMBERS}
    builder = OPS.fork()
    ids = {member: generated_special.prototypes(builder, len(shared.functions), frozenset(shared.globals))
           for member, shared in written.items()}
    btf = builder.btf()
    maps = OPS.maps(btf)
    return {member: _assembled(member, shared, btf, ids[member], maps) for member, shared in written.items()}


def _written(random: Random, dialect: Dialect, member: str, length: int, writer: type[OpsWriter] = OpsWriter) -> Shared:
    """Return the functions of a program."""
    shared = Shared()
    shared.maps = OPS.maps(OPS.builder.btf())
    main = writer(random, dialect, dialect.rules_for("struct_ops", ("Qdisc_ops", member)), member, shared)
    shared.functions.append(main)
    main.known.regs[1] = RegKind("ctx")
    main.mov(6, 1)
    main.emit(0x79, 7, 6)
    main.known.regs[7] = RegKind("skb", 0, shared.new()) if member == "enqueue" else generated_kernel.SCH
    main.known.locked |= {7} if member == "enqueue" else set()
    main.steps(random.randrange(1, length + 1))
    if member == "enqueue":
        generated_kernel.keep_packet(main)
    elif member == "dequeue":
        generated_kernel.give_packet(main)
    else:
        main.set(0, random.choice((0, 0, 0, -22)) if member == "init" else 0)
        main.emit(0x95)
    return shared


def _assembled(member: str, shared: Shared, btf: Btf, ids: tuple[int, ...], maps: tuple[MapSpec, ...]) -> Program:
    code, starts = linked(shared)
    infos = tuple(FuncInfo(start, number) for start, number in zip(starts, ids, strict=True))
    return Program(member, code, "struct_ops", "struct_ops", "", "GPL", maps, dict(shared.kfuncs), {}, btf,
                   infos, struct_ops=("Qdisc_ops", member))


_TYPES: dict[tuple[int, frozenset[int]], tuple[Btf, tuple[int, ...], tuple[MapSpec, ...]]] = {}  # saves repeated work


def _types(count: int, globals: frozenset[int]) -> tuple[Btf, tuple[int, ...], tuple[MapSpec, ...]]:
    key = count, globals
    if key not in _TYPES:
        builder = OPS.fork()
        ids = generated_special.prototypes(builder, count, globals)
        btf = builder.btf()
        _TYPES[key] = btf, ids, OPS.maps(btf)
    return _TYPES[key]
