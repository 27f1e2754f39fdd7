"""The walk: one path after another, each instruction on abstract values (do_check, kernel/bpf/verifier.c).

Each instruction is compiled once into a step, a function that changes the current state and returns the slot to go
on with. What may go two ways pushes a copy of the state; a path ends at exit, or where a state seen before covers
the current one (`states`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.errnos import E2BIG, EACCES, EFAULT, EINVAL
from ebpfvm.isa import codes as c
from ebpfvm.verifier.calling import dynptrs, exits, frames, helper_calls, kfunc_calls
from ebpfvm.verifier.domain import arithmetic_of
from ebpfvm.verifier.liveness.live_registers import ALL_REGS, use_def
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.env import StructType
from ebpfvm.verifier.machine.regs import UNKNOWN_SCALAR, Reg, pointer
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.machine.special_fields import local_struct
from ebpfvm.verifier.machine.state import Frame, History, State
from ebpfvm.verifier.memory import access, btf_access, loads, stack
from ebpfvm.verifier.passes.subprogs import is_call, is_gpl, is_kfunc_call
from ebpfvm.verifier.pruning import backtrack, kept_states
from ebpfvm.verifier.values import alu, branch, late_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.btf.types import Btf
    from ebpfvm.contract.progtype import CtxField
    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.liveness.live_registers import Live
    from ebpfvm.verifier.liveness.stack_walk import WalkLiveness
    from ebpfvm.verifier.machine.env import Env, Observer, Subprog
    from ebpfvm.verifier.passes.cfg import Cfg
    from ebpfvm.verifier.report.log import Log

    Step = Callable[["Walk"], int]

LIMIT = 1_000_000
MAX_PENDING = 8192
END = -1
CONDITIONAL = 2
STRICT_ALIGNMENT = 1


class Walk:
    """One verification in progress. Steps and checks take it as their first argument."""

    def __init__(self, env: Env, cfg: Cfg, live: Live, loops: list[int], log: Log,
                 marks: WalkLiveness | None = None) -> None:
        self.env = env
        self.cfg = cfg
        self.live = live
        self.marks = marks
        self.loops = loops
        self.log = log
        self.arithmetic = arithmetic_of(env.rules.circular_numbers)
        self.strict = bool(env.program.flags & STRICT_ALIGNMENT)
        self.gpl = is_gpl(env.program.license)
        self.kernel_structs = btf_access.kernel_structs(env) if _has_kptrs(env) else frozenset()
        self.pointer_types: dict[int, int] = {}
        self.called: set[int] = set()
        self.per_function: dict[int, int] = {}  # processed instructions of the main program and of global functions
        self.entered: set[int] = set()  # functions that were walked at all
        self.inlined_loops: dict[int, tuple[bool, int]] = {}  # calls of bpf_loop: is it replaced, and its callback
        self.unreliable: set[int] = set()  # functions whose prototypes a call did not fit
        self.pending: list[tuple[State, int, int, int]] = []
        self.states = kept_states.States(self)
        self.ids = 0
        self.processed = 0
        self.jumps = 0
        self.pc = 0
        self.prev = -1
        self.insn = env.program.insns[0]
        self.subprog_depth: dict[int, int] = {}
        self.reached_weak = False
        self.unconverted = False  # half of a 64-bit field of bpf_tcp_sock is read, which the kernel cannot translate
        self.async_callbacks: set[int] = set()
        self.callbacks: set[int] = set()
        self.touched = 0
        self._touched_regs = 0
        self.returned = False  # the step before was a return to a caller
        self._locals: dict[tuple[int, int], StructType] = {}
        self._ctx: dict[tuple[int, int], CtxField | None] = {}
        self._packet_changers: dict[int, bool] = {}
        self.state = State([Frame(0, END, 0)])
        self.frame = self.state.frames[0]
        self.regs = self.frame.regs
        self.steps = [self._build(pc) for pc in range(len(env.program.insns))]
        if env.observe is not None:
            self.steps = [_observed(step, env.observe) for step in self.steps]
        self._is_jump = bytes([_jump_kind(insn[0]) for insn in env.program.insns])
        self._scratch = [_scratched(env, pc) for pc in range(len(env.program.insns))] if log.on else []

    # -- building ---------------------------------------------------------------------------------------------------

    def _build(self, pc: int) -> Step:
        insn = self.env.program.insns[pc]
        if insn.code or not pc or not self.env.program.insns[pc - 1].is_ld_imm64:
            refusing = late_fields.late(self.env, insn)
            if refusing is not None:
                return refusing
        cls = insn.code & 7
        if cls in (c.BPF_ALU, c.BPF_ALU64):
            return alu.build(self, pc, insn)
        if cls == c.BPF_LDX:
            return access.build_load(self, pc, insn)
        if cls in (c.BPF_ST, c.BPF_STX):
            atomic = cls == c.BPF_STX and insn.code & 0xE0 == c.BPF_ATOMIC
            return self._marked((access.build_atomic if atomic else access.build_store)(self, pc, insn))
        if cls == c.BPF_LD:
            return loads.build(self, pc, insn)
        return self._build_jump(pc)

    def _build_jump(self, pc: int) -> Step:
        insn = self.env.program.insns[pc]
        op = insn.code & 0xF0
        if op == c.BPF_EXIT:
            return exits.step
        if op == c.BPF_CALL:
            if is_call(insn):
                return frames.build_call(self, pc, insn)
            return self._marked((kfunc_calls if is_kfunc_call(insn) else helper_calls).build(self, pc, insn))
        if op == c.BPF_JA:
            target = pc + 1 + (insn.off if insn.code & 7 == c.BPF_JMP else insn.imm)
            return _goto(target)
        if op == c.BPF_JCOND:
            return _may_goto(pc, pc + 1 + insn.off)
        return branch.build(self, pc, insn)

    def _marked(self, step: Step) -> Step:
        """A step after which it is noted what it wrote to the stack, if that is how liveness is found."""
        marks = self.marks
        if marks is None:
            return step

        def marked(w: Walk) -> int:
            marks.begin(w.state)
            after = step(w)
            marks.commit(w.pc)
            return after
        return marked

    # -- the loop ---------------------------------------------------------------------------------------------------

    def run(self, subprog: Subprog, registers: dict[int, Reg]) -> None:
        """Walk one function (the main program, or a global function) on all its paths.

        Raises:
            Refuse: what the program may not do.
        """
        self.state = State([Frame(0, END, subprog.index)])
        for number, value in registers.items():
            self.state.frames[0].regs[number] = value
        self.sync()
        self.pc, self.prev = subprog.start, -1
        self.state.first_pc = subprog.start
        self.states.start()
        self.log.new_function()
        self.entered.add(subprog.index)
        self._paths()

    def _paths(self) -> None:
        """Walk from the current state on."""
        self.touched = -1
        print_state = False
        while True:
            before, function = self.processed, self.state.frames[0].subprog
            try:
                ended = self._path(print_state)
            finally:
                counted = self.per_function.get(function, 0)
                self.per_function[function] = counted + self.processed - before
            if not self._next(ended):
                return
            print_state = True

    def _path(self, print_state: bool) -> bool:
        """Walk until the path ends. True if it was cut off by an equal state."""
        steps, prune, jump = self.steps, self.cfg.prune, self.cfg.jump
        insns = self.env.program.insns
        size, log, is_jump = len(insns), self.log, self._is_jump
        pc = self.pc
        while True:
            if pc >= size:
                raise Refuse(EFAULT, f"invalid insn idx {pc} insn_cnt {size}")
            self.processed += 1
            if self.processed > LIMIT:
                raise Refuse(E2BIG, f"BPF program is too large. Processed {self.processed} insn")
            state = self.state
            state.last_pc = self.prev
            self.pc = state.pc = pc
            self.insn = insns[pc]
            if prune[pc]:
                if self.states.visited(pc):
                    if log.on:
                        log.note(f"\nfrom {self.prev} to {pc}: safe" if print_state else f"{pc}: safe")
                    return True
                state = self.state
            if jump[pc]:
                self.remember(0)
            if log.on:
                if log.all and print_state:
                    log.full_state(f"\nfrom {self.prev} to {pc}:", state)
                self._log_touched(pc)
                log.insn(pc)
                self._touched_regs = self._scratch[pc]
            if is_jump[pc]:
                self.jumps += 1
            after = steps[pc](self)
            self.prev = pc
            if after == END:
                return False
            if log.on and is_jump[pc] == CONDITIONAL:
                self._log_touched(pc)
            print_state, self.returned = self.returned, False
            pc = after

    def _log_touched(self, pc: int) -> None:
        """What was read or written since the last time (print_insn_state)."""
        if self._touched_regs or self.touched:
            regs = 0x7FF if self.touched < 0 else self._touched_regs
            self.log.state(pc, self.state, regs, self._slots())
            self._touched_regs = self.touched = 0

    def _next(self, _cut: bool) -> bool:
        """Take up the path pushed last; False when none is left."""
        self.states.path_ended(self.state)
        if self.marks is not None:
            self.marks.update(self.state)
        if not self.pending:
            return False
        state, pc, prev, mark = self.pending.pop()
        self.log.back_to(mark)
        self.state, self.pc, self.prev = state, pc, prev
        self.touched = -1
        self.sync()
        return True

    def _slots(self) -> tuple[int, ...]:
        if self.touched < 0:
            return tuple(sorted(self.frame.stack))
        return tuple([at for at in range(self.touched.bit_length()) if self.touched >> at & 1])

    # -- what steps use ---------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """The current frame has changed."""
        self.frame = self.state.frames[-1]
        self.regs = self.frame.regs
        if self.marks is not None:
            self.marks.moved()

    def stack_read(self, frame: Frame, slots: int) -> None:
        """The current instruction reads slots of a stack (bpf_mark_stack_read)."""
        if self.marks is not None:
            self.marks.read(self.state, frame.no, slots)

    def stack_written(self, frame: Frame, slots: int) -> None:
        """It fills slots (bpf_mark_stack_write)."""
        if self.marks is not None:
            self.marks.wrote(frame.no, slots)

    def new_id(self) -> int:
        """An id that nothing has yet."""
        self.ids += 1
        return self.ids

    def deepen(self, frame: Frame, size: int) -> None:
        """A frame has at least so many bytes, in whole slots (grow_stack_state)."""
        if size > self.subprog_depth.get(frame.subprog, 0):
            self.subprog_depth[frame.subprog] = size + 7 & -8
        first, frame.allocated = frame.allocated >> 3, max(frame.allocated, size + 7 & -8)
        if self.marks is None and frame.allocated >> 3 > first:
            # Dead bytes are marked as such, whether anything was ever there or not.
            slots = frame.stack_for_write()
            for index in range(first, frame.allocated >> 3):
                slots.setdefault(index, stack.EMPTY)

    def touch(self, slot: int) -> None:
        """A stack slot is printed with the instruction."""
        if self.touched >= 0:
            self.touched |= 1 << slot

    def touch_reg(self, number: int) -> None:
        """A register is printed with the instruction though that does not name it."""
        self._touched_regs |= 1 << number

    def touch_everything(self) -> None:
        """A new frame was made: all of the state is printed with the instruction (mark_verifier_state_scratched)."""
        self.touched = -1

    def push(self, pc: int, prev: int, queued: bool = False) -> State:
        """A copy of the state, to be walked later from `pc` on.

        Args:
            queued: it is no branch but another round: of an iterator, a callback or may_goto.
        """
        state = self.state
        new = state.copy()
        if state.parent is not None:
            state.parent.branches += 1
        new.branches = 1
        self.pending.append((new, pc, prev, self.log.mark()))
        if len(self.pending) > MAX_PENDING:
            raise Refuse(self.env.too_complex(queued), f"The sequence of {len(self.pending)} jumps is too complex.")
        new.dfs_depth = state.dfs_depth
        return new

    def push_async(self, pc: int, prev: int, subprog: int) -> State:
        """A fresh state for an asynchronous callback, with nothing but its arguments."""
        # No parent: the path that sets the callback does not wait for it, so one that sets itself comes to an end.
        new = State([Frame(0, END, subprog)])
        self.pending.append((new, pc, prev, self.log.mark()))
        if len(self.pending) > MAX_PENDING:
            raise Refuse(self.env.too_complex(),
                         f"The sequence of {len(self.pending)} jumps is too complex for async cb.")
        self.async_callbacks.add(subprog)
        return new

    def remember(self, flags: int, linked: tuple[Any, ...] = ()) -> None:
        """Put the current instruction on record for backtracking (push_jmp_history)."""
        state = self.state
        last = state.history
        if last is not None and self.states.current_entry is last and self.states.entry_step == self.processed:
            entry = History(last.before, last.pc, last.prev, last.flags | flags, linked or last.linked)
        else:
            entry = History(last, self.pc, self.prev, flags, linked)
            state.history_len += 1
        state.history = self.states.current_entry = entry
        self.states.entry_step = self.processed

    def precise(self, number: int) -> None:
        """The exact number in a register matters (mark_chain_precision)."""
        reg = self.regs[number]
        if reg is not None and reg.type == r.SCALAR:
            backtrack.mark(self, self.frame.no, 1 << number, 0)

    def precise_slot(self, frame: int, slot: int) -> None:
        """The exact number in a spill slot matters."""
        backtrack.mark(self, frame, 0, 1 << slot)

    def clobber(self, frame: Frame) -> None:
        """A call leaves nothing in R0 to R5."""
        frame.regs[0:6] = [None] * 6

    def readable_ctx(self, off: int, size: int) -> CtxField | None:
        """The field that a load from the context hits (`ProgType.ctx_access`), remembered."""
        key = off, size
        if key not in self._ctx:
            self._ctx[key] = self.env.prog_type.ctx_access(off, size, False, self.env.program.attach)
        return self._ctx[key]

    def ctx_value(self, item: CtxField) -> Reg:
        """What a read of a context field gives."""
        kind = item.access
        if kind == "scalar":
            return UNKNOWN_SCALAR
        if kind in _PACKET:
            return pointer(_PACKET[kind], 0 if kind != "pkt_end" else None)
        if kind == "skb":
            # Where it may be written (dequeue) it is NULL at first, and no packet of the program's afterwards.
            return UNKNOWN_SCALAR if item.write else pointer(r.BTF_ID | r.TRUSTED, StructType("sk_buff"))
        if kind in _SOCK:
            type = _SOCK[kind]
            return pointer(type, id=self.new_id() if type & r.MAYBE_NULL else 0)
        if kind == "flow_keys":
            return pointer(r.FLOW_KEYS)
        if kind == "tp_buffer":
            return pointer(r.TP_BUFFER)
        if kind == "btf":
            return pointer(r.BTF_ID | r.TRUSTED, StructType(item.struct))
        raise Refuse(EINVAL, f"context field {item.name} not supported by ebpfvm")

    def give_skb(self, value: Reg | None, off: int, size: int) -> None:
        """`ctx->skb = p` of the RFC dialect: only NULL or an owned packet, which is given away (decision D3)."""
        message = f"invalid bpf_context access off={off} size={size}"
        if value is None or value.type == r.SCALAR:
            if value is not None and not value.num.mask and not value.num.value:
                return
            raise Refuse(EACCES, message, source=True)
        owned = value.type & r.BASE == r.BTF_ID and value.ref and not value.type & r.MAYBE_NULL
        if not owned or value.what.name != "sk_buff" or value.off or value.num.mask or value.num.value:
            raise Refuse(EACCES, message, source=True)
        kfunc_calls.release_reference(self, value.ref)

    def in_sleepable(self) -> bool:
        """May the program sleep here?"""
        return self.state.in_sleepable or (self.env.sleepable and not self.frame.async_cb)

    def in_rcu(self) -> bool:
        """Are RCU-protected objects safe here?"""
        return bool(self.state.rcu or self.state.locks or not self.in_sleepable())

    def in_rbtree_callback(self) -> bool:
        """Inside of the comparison function of a tree?"""
        if not self.state.locks or not self.frame.cb:
            return False
        return kfunc_calls.is_tree_add(self.env, self.frame.callsite)

    def local_struct(self, btf: Btf, type_id: int) -> StructType:
        """A struct of the program, one object for each."""
        key = (id(btf), type_id)
        if key not in self._locals:
            self._locals[key] = local_struct(btf, type_id)
        return self._locals[key]

    def destroy_dynptr(self, frame: Frame, index: int) -> None:
        """A write hits a dynptr."""
        dynptrs.destroy(self, frame, index)

    def clear_dynptr_slot(self, frame: Frame, index: int) -> None:
        """A dynptr has died."""
        dynptrs.clear(self, frame, index)

    def insn_at(self, pc: int) -> Insn:
        """The instruction in slot `pc`."""
        return self.env.program.insns[pc]

    def in_callback(self) -> bool:
        """Inside of a synchronous callback, at any depth?"""
        return any(frame.cb for frame in self.state.frames)

    def callback(self, index: int) -> Subprog:
        """A function that is used as callback."""
        self.callbacks.add(index)
        return self.env.subprogs[index]

    def changes_packet(self, subprog: Subprog) -> bool:
        """Does a function, or what it calls, move the packet?"""
        return packets_changed(self.env, subprog, self._packet_changers)

    def widen_to_previous(self, pc: int) -> None:
        """After a callback: forget imprecise numbers that differ from the last time here (widen_imprecise_scalars)."""
        self.states.widen(self.state, pc)


_PACKET = {"pkt": r.PKT, "pkt_meta": r.PKT_META, "pkt_end": r.PKT_END}
_SOCK = {"sock_common_or_null": r.SOCK_COMMON | r.MAYBE_NULL, "sock_or_null": r.SOCKET | r.MAYBE_NULL,
         "sock": r.SOCKET}


def packets_changed(env: Env, subprog: Subprog, known: dict[int, bool]) -> bool:
    """Transitive search for helpers that move the packet."""
    if subprog.index in known:
        return known[subprog.index]
    known[subprog.index] = False
    result = False
    for pc in range(subprog.start, subprog.end):
        insn = env.program.insns[pc]
        if insn.code == c.BPF_JMP | c.BPF_CALL and insn.src == 0:
            helper = env.dialect.helpers.get(insn.imm)
            result |= helper is not None and helper.changes_packet
        elif is_kfunc_call(insn):
            kfunc = env.kfuncs.get(insn.imm)
            result |= kfunc is not None and kfunc.name in kfunc_calls.MOVE_PACKET
        elif is_call(insn):
            callee = env.subprog_at(pc + insn.imm + 1)
            result |= callee is not None and packets_changed(env, callee, known)
    known[subprog.index] = result
    return result


def _jump_kind(code: int) -> int:
    """0 for what is no jump, 1 for calls, exits and plain jumps, CONDITIONAL for comparisons."""
    if code & 7 not in (c.BPF_JMP, c.BPF_JMP32):
        return 0
    return 1 if code & 0xF0 in (c.BPF_JA, c.BPF_CALL, c.BPF_EXIT, c.BPF_JCOND) else CONDITIONAL


def _observed(step: Step, observe: Observer) -> Step:
    """A step that shows the state it starts from."""
    def watched(w: Walk) -> int:
        observe(w.pc, w.state, w.live)
        return step(w)
    return watched


def _goto(target: int) -> Step:
    return lambda w: target


def _may_goto(pc: int, target: int) -> Step:
    """A jump that the kernel will take after enough rounds: the loop may end here, or go on."""
    def step(w: Walk) -> int:
        before = w.states.previous_entry(w.state.parent, pc) if w.state.parent is not None else None
        other = w.push(pc + 1, pc, queued=True)
        other.may_goto_depth += 1
        if before is not None:
            w.states.widen_from(before, other)
        return target
    return step


def _has_kptrs(env: Env) -> bool:
    maps = [item for used in env.maps for item in (used, used.inner) if item is not None]
    return any(item.is_kptr for used in maps for item in used.fields)


def _scratched(env: Env, pc: int) -> int:
    """Registers that an instruction reads or writes, for printing."""
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
