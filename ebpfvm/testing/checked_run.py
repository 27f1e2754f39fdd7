"""A checked run: what a processor lets pass, but no accepted program may do.

`CheckedWatch` compares each step with the verifier's states, as `StateWatch` does, and finds more: what a call leaves
undefined is overwritten with numbers that nothing expects, an access to the stack or an atomic one must be aligned,
maps that programs may only read are not written, R10 stays the frame pointer, and while a spin lock is held, hardly
anything is called. Records of ring buffers are not used after they were given back, and all frames together use no more
than one stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract.maptype import BPF_F_RDONLY_PROG
from ebpfvm.ints import U64_MAX
from ebpfvm.isa import codes as c
from ebpfvm.kernel.emulated import FRAME_SIZE
from ebpfvm.kernel.memory import BIAS, OFFSET_MASK, REGION_SHIFT
from ebpfvm.testing.inside import Escaped, StateWatch

if TYPE_CHECKING:
    from ebpfvm.contract import Dialect
    from ebpfvm.engine.interp_run import InterpreterRun
    from ebpfvm.isa.insn import Insn
    from ebpfvm.kernel.memory import Region

_JUNK: Final = 0x0BAD_0BAD_0BAD_0B00  # nor does it point to anything
_GIVE_BACK: Final = frozenset({"bpf_ringbuf_submit", "bpf_ringbuf_discard"})  # memory that is kept until the run ends
_CALL: Final = c.BPF_JMP | c.BPF_CALL
_SIZES: Final = {c.BPF_B: 1, c.BPF_H: 2, c.BPF_W: 4, c.BPF_DW: 8}


class CheckedWatch(StateWatch):
    """Compare each step of a run with the kept states, and check what an engine lets pass; see `StateWatch`."""

    def start(self, held: int) -> None:
        """Begin a run while programs hold `held` references."""
        super().start(held)
        self.locks = 0
        self.given_back: set[int] = set()
        self.deepest: list[int] = []

    def before(self, run: InterpreterRun, pc: int, regs: list[int]) -> None:
        """Check one step before it is executed.

        Raises:
            Escaped: no state includes it, or it does what no accepted program may do.
        """
        entered = len(self.frames) < run.prog.kernel.stack.depth
        if entered:
            result = (0,) if pc or run.prog.program.struct_ops is None else ()  # some members return nothing
            for number in (*result, *range(2 if not pc else 6, 10)):
                regs[number] = _JUNK + number
            del self.deepest[len(self.frames):]
            self.deepest.append(0)
        super().before(run, pc, regs)
        insn = run.prog.program.insns[pc]
        if regs[10] != run.prog.kernel.stack.frames[run.prog.kernel.stack.depth - 1].base + FRAME_SIZE:
            raise Escaped(f"slot {pc}: R10 is {regs[10]:#x}, not the frame pointer")
        if insn.code & 7 in (c.BPF_LDX, c.BPF_ST, c.BPF_STX):
            self._check_access(run, pc, insn, regs)

    def after(self, run: InterpreterRun, pc: int, regs: list[int], next_pc: int) -> None:
        """Replace what the registers hold that a call leaves undefined."""
        if run.prog.program.insns[pc].code == _CALL:
            for number in range(1, 6):
                regs[number] = _JUNK + number

    def call(self, run: InterpreterRun, name: str, args: tuple[int, ...], result: int) -> None:
        """Count the spin locks that are held, during which hardly anything may be called.

        Raises:
            Escaped: a second lock is taken, or something else is called.
        """
        if name in _GIVE_BACK:
            self.given_back.add(args[0] >> REGION_SHIFT)
        if name == "bpf_spin_lock":
            self.locks += 1
        elif name == "bpf_spin_unlock":
            self.locks -= 1
        elif self.locks and not _may_run_in_lock(run.prog.kernel.dialect, name):
            raise Escaped(f"{name} was called while a lock was held")
        if self.locks not in (0, 1):
            raise Escaped(f"{self.locks} locks are held after {name}")

    def _check_access(self, run: InterpreterRun, pc: int, insn: Insn, regs: list[int]) -> None:
        size, mode = _SIZES[insn.code & 0x18], insn.code & 0xE0
        loads = insn.code & 7 == c.BPF_LDX or (mode == c.BPF_ATOMIC and insn.imm == c.BPF_LOAD_ACQ)
        address = (regs[insn.src if loads else insn.dst] + insn.off) & U64_MAX
        region = run.prog.kernel.memory.regions.get(address >> REGION_SHIFT)
        if region is None:
            return
        if region.id in self.given_back:
            raise Escaped(f"slot {pc}: access to {region}, which was given back")
        if not loads and region.kind == "map_value" and _flags(region) & BPF_F_RDONLY_PROG:
            raise Escaped(f"slot {pc}: write to {region}, which programs may only read")
        if region.kind == "stack":
            self._deeper(run, region, FRAME_SIZE - (address & OFFSET_MASK) + BIAS)
        if (region.kind == "stack" or (mode == c.BPF_ATOMIC and region.kind == "map_value")) and address % size:
            raise Escaped(f"slot {pc}: access of {size} bytes at {address:#x} of {region}, which is not aligned")

    def _deeper(self, run: InterpreterRun, region: Region, used: int) -> None:
        """Note how much of a frame is used, and count what all frames use."""
        stack = run.prog.kernel.stack
        at = next((at for at in range(len(self.deepest)) if stack.frames[at] is region), None)
        if at is None or used <= self.deepest[at]:
            return
        self.deepest[at] = used
        total = sum((used + 15) // 16 * 16 for used in self.deepest)
        if total > FRAME_SIZE:
            raise Escaped(f"the frames of {len(self.deepest)} functions use {total} bytes")


def _flags(region: Region) -> int:
    flags: int = getattr(region.owner, "flags", 0)
    return flags


def _may_run_in_lock(dialect: Dialect, name: str) -> bool:
    found = next((item for item in dialect.helpers.values() if item.name == name), None) or dialect.kfuncs.get(name)
    return found is not None and found.in_lock
