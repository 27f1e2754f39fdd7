"""What a property is: a rule that each accepted program keeps, and how its violation is explained."""

from __future__ import annotations

from typing import Final, Literal

from ebpfvm.lazy_dataclasses import dataclass

LOADING: Final = "Loading and type information"
FLOW: Final = "Control flow and size"
VALUES: Final = "Instructions and values"
MEMORY: Final = "Memory"
CALLS: Final = "Calls and their arguments"
OWNERSHIP: Final = "References, locks and other regions"
OURS: Final = "ebpfvm and the kernel's own faults"


Question = Literal[
    "null",       # where did it become a pointer that may be NULL, and what was tested instead
    "lost",       # where did the pointer become a number
    "kind",       # where did a pointer of this kind come from, and where was it moved
    "packet",     # what was compared with the packet's end
    "offset",     # which number was added to the pointer, and where was its range lost
    "addend",     # the range of the number that the instruction adds
    "range",      # the range of the number itself
    "size",       # the range of a size
    "occupied",   # which object lies in the bytes of the stack that are read
    "unset",      # why does the register hold nothing
    "stored",     # what is wrong with the pointer that is stored in a field that owns one
    "aligned",    # by how much was the pointer moved that is not a multiple of the access
    "special",    # what was done with the dynptr or iterator before
    "maps",       # which maps the two arguments come from
    "leak",       # who acquired what is still owned, and which way did the path take
    "unowned",    # who took it over, or from whom is it borrowed
    "open",       # where was the region entered that is still open
    "closed"]     # where was the region left that is needed
"""Questions that `ebpfvm.verifier.explanation` can answer by following the path backwards."""


@dataclass(frozen=True, slots=True)
class Property:
    """A rule that each accepted program keeps.

    Attributes:
        id: its stable name.
        group: heading under which the manual lists it.
        rule: the rule in one sentence.
        help: what usually helps, in one sentence.
        source: what checks it: a function of kernel/bpf/verifier.c, by its name in Linux 6.18, or another place.
        asks: the questions about the operand that lead to the cause, the first one that has an answer counts.
    """

    id: str
    group: str
    rule: str
    help: str
    source: str
    asks: tuple[Question, ...] = ()
