"""Uses of memory: what an instruction, or a helper, does with the bytes that a pointer leads to."""

from __future__ import annotations

from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.verifier.machine.regs import Reg


class Access(NamedTuple):
    """An access through a pointer.

    Attributes:
        reg: the pointer.
        number: the register that holds it, for messages.
        off: offset that the instruction adds, in bytes.
        size: in bytes.
    """

    reg: Reg
    number: int
    off: int
    size: int


class Use(NamedTuple):
    """What a helper does with the memory of an argument.

    Attributes:
        write: whether it writes there.
        zero_ok: whether the size may be 0.
        uninit: whether it fills the memory, so that its content before does not matter.
        dead_ok: whether it may be stack that nobody reads any more, because the callee has been checked separately.
    """

    write: bool = False
    zero_ok: bool = False
    uninit: bool = False
    dead_ok: bool = False
