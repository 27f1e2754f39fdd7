"""Small programs at the edge of one rule, and inputs that reach the edge.

`generate` writes long programs that are right, and `mutate` breaks them somewhere, mostly far from any limit. Here,
each program is about one rule: a bound that is right or wrong by one, a check that is there or not, something released
once, twice or never. About as many are accepted as rejected. The inputs take numbers from the program, so that a run
meets the very value on which a bound decides.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ebpfvm.isa.asm import assemble
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.loader.object import Program
from ebpfvm.testing import edge_flow, edge_memory
from ebpfvm.testing.edge_text import EDGE_MAPS, EdgeText
from ebpfvm.testing.runs import given

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from ebpfvm.isa.insn import Insn
    from ebpfvm.testing.runs import Given

_MAP: Final = re.compile(r"= ([a-z]+) ll")
SCENES: Final[dict[str, Callable[[EdgeText], None]]] = {
    scene.__name__: scene for scene in (
        edge_memory.map_value, edge_memory.packet, edge_memory.stack, edge_memory.spilled, edge_memory.context,
        edge_memory.helper_memory, edge_memory.map_arguments, edge_memory.read_only, edge_memory.atomic,
        edge_flow.null, edge_flow.reference, edge_flow.sockets, edge_flow.locks, edge_flow.registers, edge_flow.result,
        edge_flow.numbers, edge_flow.meeting, edge_flow.held_on_one_path, edge_flow.shape, edge_flow.loop,
        edge_flow.frames, edge_flow.constants)}
"""What the programs are about."""


def edge_program(random: Random, scene: str = "") -> Program:
    """Return a small program at the edge of a rule; `scene` is one of `SCENES` (default: any)."""
    text = EdgeText(random)
    SCENES[scene or random.choice(list(SCENES))](text)
    written = text.text()
    names = list(dict.fromkeys(_MAP.findall(written)))
    code = assemble(written, dialect="llvm", maps={name: index for index, name in enumerate(names)})
    return Program("prog", code, text.type, "", text.attach, "GPL", tuple(EDGE_MAPS[name] for name in names),
                   dict(text.kfuncs))


def edge_inputs(random: Random, program: Program, count: int) -> tuple[Given, ...]:
    """Return inputs whose fields are often the numbers that the program compares with, or their neighbours."""
    numbers = _numbers(program.insns)
    return tuple(_at_the_edge(random, given(random, program), numbers) for _ in range(count))


def _numbers(code: Sequence[Insn]) -> list[int]:
    found = {insn.imm + step for insn in code for step in (-1, 0, 1) if not insn.is_ld_imm64 and insn.code != 0x85}
    return sorted(found)


def _at_the_edge(random: Random, one: Given, numbers: Sequence[int]) -> Given:
    def number(bits: int) -> int:
        return random.choice(numbers) & (1 << bits) - 1
    fields = dict(one.fields)
    for name, bits in (("mark", 32), ("priority", 32), ("tstamp", 63)):
        if random.random() < 0.7:
            fields[name] = number(bits)
    fields["cb"] = [number(32) for _ in range(5)]
    return replace(one, fields=fields)
