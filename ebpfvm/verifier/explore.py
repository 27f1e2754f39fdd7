"""The walk: one path after another, each instruction on abstract values (do_check, kernel/bpf/verifier.c).

Each instruction is compiled once into a step, a function that changes the current state and returns the slot to
continue with. An instruction with two possible successors pushes a copy of the state. A path ends at exit, or where a
kept state subsumes the current one (`ebpfvm.verifier.pruning`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import E2BIG, EFAULT
from ebpfvm.isa import codes as c
from ebpfvm.isa.table import all_kinds
from ebpfvm.verifier.calling import exits, frames, helper_calls, kfunc_calls, packet_loads
from ebpfvm.verifier.liveness.live_registers import ALL_REGS, use_def
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import references
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.machine.state import END
from ebpfvm.verifier.machine.walk import Walk
from ebpfvm.verifier.memory import access, atomics, loads
from ebpfvm.verifier.passes.subprogs import is_call, is_kfunc_call
from ebpfvm.verifier.pruning.kept_states import KeptStates
from ebpfvm.verifier.values import alu, branch, late_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.liveness.stack_walk import WalkLiveness
    from ebpfvm.verifier.machine.env import Env, Subprog
    from ebpfvm.verifier.machine.facts import Facts, Live
    from ebpfvm.verifier.machine.regs import Reg
    from ebpfvm.verifier.machine.state import State
    from ebpfvm.verifier.machine.walk import Step, StepNotes
    from ebpfvm.verifier.report.log import Log

    Observer = Callable[[int, State, Live], None]

# What `_build` has steps for; liveness (`use_def`) and backtracking know the same classes of opcodes.
_KINDS = ("alu", "addr_space_cast", "percpu", "jmp", "ja", "may_goto", "gotox", "call", "callx", "exit", "ldx", "st",
          "atomic", "load_acquire", "store_release", "ld_imm64", "ld_abs", "ld_ind")
all_kinds(_KINDS, "the walk, ebpfvm/verifier/explore.py (_build)")
LIMIT = 1_000_000
CONDITIONAL = 2


class Explorer:
    """Walks functions on all their paths, the main program first.

    Args:
        observe: called with the slot, the state before it and what is live, at each step.
        recorder: takes note of each step.

    Attributes:
        walk: the verification in progress.
        kept: the states kept for pruning.
    """

    def __init__(self, env: Env, facts: Facts, log: Log, marks: WalkLiveness | None = None,
                 observe: Observer | None = None, recorder: StepNotes | None = None) -> None:
        self.walk = walk = Walk(env, facts, log, marks)
        self.kept = walk.kept = KeptStates(walk)
        insns = env.program.insns
        self._steps = [self._build(pc) for pc in range(len(insns))]
        if observe is not None:
            self._steps = [_observed(step, observe) for step in self._steps]
        if recorder is not None:
            self._steps = [recorder.recorded(step) for step in self._steps]
        self._is_jump = bytes([_jump_kind(insn[0]) for insn in insns])
        self._scratched_by = [_scratched(env, pc) for pc in range(len(insns))] if log.on else []

    # -- building ---------------------------------------------------------------------------------------------------

    def _build(self, pc: int) -> Step:
        env = self.walk.env
        insn = env.program.insns[pc]
        if insn.code or not pc or not env.program.insns[pc - 1].is_ld_imm64:
            refusing = late_fields.late(env, insn)
            if refusing is not None:
                return refusing
        cls = insn.code & 7
        if cls in (c.BPF_ALU, c.BPF_ALU64):
            return alu.build(self.walk, pc, insn)
        if cls == c.BPF_LDX:
            return access.build_load(self.walk, pc, insn)
        if cls in (c.BPF_ST, c.BPF_STX):
            return self._marked((atomics.build if insn.is_atomic else access.build_store)(self.walk, pc, insn))
        if cls == c.BPF_LD:
            build = loads.build if insn.code & 0xE0 == c.BPF_IMM else packet_loads.build
            return build(self.walk, pc, insn)
        return self._build_jump(pc, insn)

    def _build_jump(self, pc: int, insn: Insn) -> Step:
        op = insn.code & 0xF0
        if op == c.BPF_EXIT:
            return exits.step
        if op == c.BPF_CALL:
            if is_call(insn):
                return frames.build_call(self.walk, pc, insn)
            return self._marked((kfunc_calls if is_kfunc_call(insn) else helper_calls).build(self.walk, pc, insn))
        if op == c.BPF_JA:
            target = pc + 1 + (insn.off if insn.code & 7 == c.BPF_JMP else insn.imm)
            return _goto(target)
        if op == c.BPF_JCOND:
            return _may_goto(pc, pc + 1 + insn.off)
        return branch.build(self.walk, pc, insn)

    def _marked(self, step: Step) -> Step:
        """Return a step that also records what it wrote to the stack, if the walk itself determines liveness."""
        marks = self.walk.marks
        if marks is None:
            return step

        def marked(w: Walk) -> int:
            marks.begin(w.state)
            after = step(w)
            marks.commit(w.pc)
            return after
        return marked

    # -- the loop ---------------------------------------------------------------------------------------------------

    def run(self, subprog: Subprog, registers: dict[int, Reg], owned: Sequence[str] = ()) -> None:
        """Walk one function (the main program, or a global function) on all its paths.

        Args:
            owned: names of arguments in the context that it owns from the start.

        Raises:
            Refuse: the program does something that is not allowed.
        """
        walk = self.walk
        walk.state = walk.fresh(subprog.index)
        for number, value in registers.items():
            walk.state.frames[0].regs[number] = value
        walk.sync()
        walk.pc, walk.prev = subprog.start, -1
        walk.owned = {name: references.acquire(walk) for name in owned}
        walk.state.first_pc = subprog.start
        walk.entry = None
        self.kept.start()
        walk.log.new_function()
        walk.found.entered.add(subprog.index)
        self._paths()

    def _paths(self) -> None:
        """Walk from the current state on."""
        walk, counts = self.walk, self.walk.found.per_function
        walk.scratched.everything()
        print_state = False
        while True:
            before, function = walk.processed, walk.state.frames[0].subprog
            try:
                self._path(print_state)
            finally:
                counts[function] = counts.get(function, 0) + walk.processed - before
            if not self._next():
                return
            print_state = True

    def _path(self, print_state: bool) -> None:
        """Walk until the path ends, at an exit or where a kept state subsumes the current one."""
        walk, steps, cfg = self.walk, self._steps, self.walk.facts.cfg
        prune, jump = cfg.prune, cfg.jump
        insns = walk.env.program.insns
        size, log, is_jump, scratched = len(insns), walk.log, self._is_jump, walk.scratched
        visited, shown = self.kept.visited, log.on
        pc = walk.pc
        while True:
            if pc >= size:
                raise Refuse(p.MISSING_EXIT, EFAULT, f"invalid insn idx {pc} insn_cnt {size}")
            walk.processed = processed = walk.processed + 1
            if processed > LIMIT:
                raise Refuse(p.TOO_COMPLEX, E2BIG, f"BPF program is too large. Processed {processed} insn")
            state = walk.state
            state.last_pc = walk.prev
            walk.pc = state.pc = pc
            walk.insn = insns[pc]
            if prune[pc]:
                if visited(pc):
                    if shown:
                        log.note(f"\nfrom {walk.prev} to {pc}: safe" if print_state else f"{pc}: safe")
                    return
                state = walk.state
            if jump[pc]:
                walk.remember(0)
            if shown:
                if log.all and print_state:
                    log.full_state(f"\nfrom {walk.prev} to {pc}:", state)
                self._log_scratched(pc)
                log.insn(pc)
                scratched.regs = self._scratched_by[pc]
            if is_jump[pc]:
                walk.jumps += 1
            after = steps[pc](walk)
            walk.prev = pc
            if after == END:
                return
            if shown and is_jump[pc] == CONDITIONAL:
                self._log_scratched(pc)
            print_state = scratched.returned
            if print_state:
                scratched.returned = False
            pc = after

    def _log_scratched(self, pc: int) -> None:
        """Print what was read or written since the last time (print_insn_state)."""
        scratched = self.walk.scratched
        if not (scratched.regs or scratched.slots):
            return
        slots, stack = scratched.slots, self.walk.frame.stack
        shown = tuple(sorted(stack)) if slots < 0 else tuple(
            [at for at in range(slots.bit_length()) if slots >> at & 1])
        self.walk.log.state(pc, self.walk.state, 0x7FF if slots < 0 else scratched.regs, shown)
        scratched.regs = scratched.slots = 0

    def _next(self) -> bool:
        """Continue with the path that was pushed last; return False if none is left."""
        walk = self.walk
        self.kept.path_ended(walk.state)
        if walk.marks is not None:
            walk.marks.update(walk.state)
        if not walk.pending:
            return False
        state, pc, prev, mark = walk.pending.pop()
        walk.log.back_to(mark)
        walk.state, walk.pc, walk.prev = state, pc, prev
        walk.scratched.everything()
        walk.sync()
        return True


def _jump_kind(code: int) -> int:
    """Return 0 for instructions that do not jump, 1 for calls, exits and plain jumps, CONDITIONAL for comparisons."""
    if code & 7 not in (c.BPF_JMP, c.BPF_JMP32):
        return 0
    return 1 if code & 0xF0 in (c.BPF_JA, c.BPF_CALL, c.BPF_EXIT, c.BPF_JCOND) else CONDITIONAL


def _observed(step: Step, observe: Observer) -> Step:
    """Return a step that shows the state that it starts from."""
    def watched(w: Walk) -> int:
        observe(w.pc, w.state, w.facts.live)
        return step(w)
    return watched


def _goto(target: int) -> Step:
    return lambda w: target


def _may_goto(pc: int, target: int) -> Step:
    """Return a step for a jump that the kernel takes after enough rounds: the loop may end here, or continue."""
    def step(w: Walk) -> int:
        before = w.kept.previous_entry(w.state.parent, pc) if w.state.parent is not None else None
        other = w.push(pc + 1, pc, queued=True)
        other.may_goto_depth += 1
        if before is not None:
            w.kept.widen_from(before, other)
        return target
    return step


def _scratched(env: Env, pc: int) -> int:
    """Return the registers that an instruction reads or writes, for printing."""
    insn = env.program.insns[pc]
    if insn.code == c.BPF_JMP | c.BPF_EXIT:
        return 0  # a return is printed with both frames, and otherwise the path ends
    if insn.code == c.BPF_JMP | c.BPF_CALL:
        return 0x3F
    if insn.code & 7 == c.BPF_LD and insn.code & 0xE0 != c.BPF_IMM:
        return 0x7F | (1 << insn.src if insn.code & 0xE0 == c.BPF_IND else 0)
    used, defined = use_def(env, pc)
    if insn.code & 7 == c.BPF_LD and used == ALL_REGS:
        used = 1 << 6 | (1 << insn.src if insn.code & 0xE0 == c.BPF_IND else 0)
    return used | defined
