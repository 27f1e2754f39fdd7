"""Find loops whose number of rounds is known when they begin, so that no counter and no test is needed.

Such a loop consumes its budget as any other, one tick for each round, but Python counts the rounds:

    left = HINT(ticks)
    for _ in SLICE(ticks, 1000):
        ...
    else:
        if left < 1000: OVER()

It is one that nothing else in it consumes ticks of, with one way back: a block that moves a counter by a constant and
compares it with a number that the loop does not change. A counter that is of no other use is left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ebpfvm.engine.translate.ranges import NumRange
from ebpfvm.engine.translate.statements import VARIABLE, live_at
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.engine.translate.flow_graph import FlowGraph
    from ebpfvm.engine.translate.function_facts import FunctionFacts
    from ebpfvm.engine.translate.statements import BlockCode

_CONDITION: Final = re.compile(r"\((r\d) (==|!=|<|<=|>|>=) (r\d|\d+|0x[0-9a-f]+)\)")
_MOVE: Final = re.compile(r"\((r\d) ([+-]) (\d+)\)")
_OPPOSITE: Final = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_CALL: Final = re.compile(r"([\w.]+)\(")
# What neither runs programs nor consumes ticks.
_QUIET: Final = re.compile(r"[UB][248]|[UB]_\w+|P[248]|LOAD|LOAD_PROBE|STORE|GET|PACK_\w+|AT\d+|FIND\d+|bytes|"
                           r"from_bytes|to_bytes|sdiv|smod|(?:EXISTING|GET|PUT|REMOVE)\d+")
_WORTH: Final = 16  # rounds from which preparing them costs less than counting
_MOST: Final = 1 << 62


class CountedLoop(NamedTuple):
    """A loop that Python counts.

    Attributes:
        latch: the block that jumps back to the header.
        rounds: an expression for the number of rounds, evaluated before the loop.
        omitted: (block, number of the line) of the lines that are of no use then.
    """

    latch: int
    rounds: str
    omitted: tuple[tuple[int, int], ...]


def find(graph: FlowGraph, code: Mapping[int, BlockCode], facts: FunctionFacts) -> dict[int, CountedLoop]:
    """Return the loops of `graph` that can be counted, by header."""
    if not graph.reducible or not graph.loops:
        return {}
    live = live_at(code, graph)
    loops = {header: _Loop(graph, code, facts, live, header, body) for header, body in graph.loops.items()}
    return {header: CountedLoop(loop.latch, loop.rounds, tuple(loop.omitted))
            for header, loop in loops.items() if loop.rounds}


class _Loop:
    """One loop; `rounds` is empty if it cannot be counted."""

    def __init__(self, graph: FlowGraph, code: Mapping[int, BlockCode], facts: FunctionFacts,
                 live: Mapping[int, frozenset[str]], header: int, body: set[int]) -> None:
        self.graph, self.code, self.facts, self.live = graph, code, facts, live
        self.header, self.body = header, body
        self.rounds = ""
        self.omitted: list[tuple[int, int]] = []
        back = [pred for pred in graph.blocks[header].preds if pred in body]
        self.latch = back[0]
        if len(back) == 1 and not any(other in body and other != header for other in graph.loops) and self._quiet():
            self._count()

    def _quiet(self) -> bool:
        """Return whether the body consumes no ticks."""
        texts = [text for start in self.body for text in self._texts(start)]
        return all(_QUIET.fullmatch(name.rpartition(".")[2]) for text in texts for name in _CALL.findall(text)) and \
            not any("ticks" in text for text in texts)

    def _texts(self, start: int) -> list[str]:
        block = self.code[start]
        return [*(line.value for line in block.lines), block.condition]

    def _count(self) -> None:
        code = self.code[self.latch]
        match = _CONDITION.fullmatch(code.condition)
        if match is None or self.header not in code.succs:
            return
        counter, op, limit = match[1], match[2], match[3]
        if code.succs[1] != self.header:
            op = _OPPOSITE[op]
        step = self._step(counter)
        if not step or limit in self._written():
            return
        first = self._first(counter)
        rounds = self._expression(op, counter if first is None else str(first), counter, first, step, limit)
        if rounds is not None:
            self.rounds = rounds
            if self._only_counts(counter):
                self._drop(counter, first is not None)

    def _written(self) -> set[str]:
        return {name for start in self.body for line in self.code[start].lines for name in (line.writes, *line.also)}

    def _step(self, counter: str) -> int:
        """Return by how much each round moves the counter, 0 if it does something else."""
        writes = [(start, line) for start in self.body for line in self.code[start].lines
                  if counter in (line.writes, *line.also)]
        if len(writes) != 1 or writes[0][0] != self.latch:
            return 0
        match = _MOVE.fullmatch(writes[0][1].value)
        if match is None or match[1] != counter:
            return 0
        return int(match[3]) if match[2] == "+" else -int(match[3])

    def _only_counts(self, counter: str) -> bool:
        """Return whether the counter is only read where it is moved and compared."""
        for start in self.body:
            block = self.code[start]
            reads = sum(counter in line.reads for line in block.lines) + (counter in block.reads)
            if reads != (2 if start == self.latch else 0):
                return False
            if any(counter in self.live[successor] for successor in block.succs if successor not in self.body):
                return False
        return True

    def _first(self, counter: str) -> int | None:
        """Return the counter's value before the loop if it is a known constant."""
        outside = [pred for pred in self.graph.blocks[self.header].preds if pred not in self.body]
        if len(outside) != 1:
            return None
        for line in reversed(self.code[outside[0]].lines):
            if counter in (line.writes, *line.also):
                return int(line.value, 0) if re.fullmatch(r"\d+|0x[0-9a-f]+", line.value) else None
        return None

    def _range(self, name: str) -> tuple[int, int, int] | None:
        """Return bounds and trailing zeros of a register or number where the loop's header begins."""
        if not name.startswith("r"):
            return int(name, 0), int(name, 0), 64
        state = self.facts.before.get(self.header)
        value = state.regs[int(name[1:])] if state is not None else None
        return (value.lo, value.hi, value.zeros) if isinstance(value, NumRange) else None

    def _expression(self, op: str, start: str, counter: str, first: int | None, step: int, limit: str) -> str | None:
        """Return the number of rounds of `while True: counter += step; if not counter op limit: break`."""
        at, end = self._range(counter), self._range(limit)
        if at is None or end is None or end[1] > _MOST or at[1] > _MOST:
            return None
        low, high = (start, limit) if step > 0 else (limit, start)
        if op == "!=":
            ends = at[1] < end[0] if step > 0 else at[0] > end[1]
            size = abs(step)
            # Otherwise the counter would miss the limit.
            if not ends or size & (size - 1) or min(at[2], end[2]) < size.bit_length() - 1:
                return None
            least = True
        elif op in (("<", "<=") if step > 0 else (">", ">=")):
            least = first is not None and (first + step <= end[0] if step > 0 else first + step >= end[1])
        else:
            return None
        most = max(end[1] - at[0], at[1] - end[0]) if first is None else abs(max(end[1] - first, first - end[0]))
        return _rounds(low, high, abs(step), op.endswith("=") and op != "!=", least) if most // abs(step) >= _WORTH \
            else None

    def _drop(self, counter: str, first: bool) -> None:
        """Leave out the counter's move, and also what sets it before the loop if `first`."""
        self.omitted += [(self.latch, n) for n, line in enumerate(self.code[self.latch].lines)
                         if line.writes == counter]
        if not first:
            return
        before = next(pred for pred in self.graph.blocks[self.header].preds if pred not in self.body)
        code = self.code[before]
        n = max(n for n, line in enumerate(code.lines) if line.writes == counter)
        elsewhere = any(counter in self.live[s] for s in code.succs if s != self.header)
        if not elsewhere and counter not in code.reads and \
                not any(counter in line.reads for line in code.lines[n + 1:]):
            self.omitted.append((before, n))


def _rounds(low: str, high: str, step: int, inclusive: bool, least: bool) -> str:
    """Return how many steps lead from `low` to `high`, at least 1; `least`: whether it is known to be that many."""
    add = step - 1 + inclusive
    if not VARIABLE.search(f"{low} {high}"):
        return str(max((int(high, 0) - int(low, 0) + (step if inclusive else step - 1)) // step, 1))
    text = high if low == "0" else f"{high} - {low}"
    text = f"{text} + {add}" if add else text
    if step > 1:
        text = f"({text}) // {step}"
    return f"({text})" if least else f"max({text}, 1)"
