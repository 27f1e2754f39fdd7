"""`verify`: the passes in their order (bpf_check, kernel/bpf/verifier.c), and the only place that catches a refusal.

The order decides which message a program with several faults gets. 6.18 checks the fields of an instruction only when
the walk reaches it, 7.2 before it looks at the control flow; recursion is detected by a pass of its own since 7.x.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ebpfvm.contract.ops import ACCESSES, PROBES
from ebpfvm.errnos import EFAULT, EINVAL, EOPNOTSUPP, EPERM
from ebpfvm.errors import UsageError
from ebpfvm.limits import DEFAULTS, Limits
from ebpfvm.loading import prepare
from ebpfvm.verifier.calling import global_funcs
from ebpfvm.verifier.explore import LIMIT, Explorer
from ebpfvm.verifier.liveness import live_registers, stack_static
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.budget import Budget
from ebpfvm.verifier.machine.env import Caps, Env
from ebpfvm.verifier.machine.facts import ControlFlow, Facts, Live
from ebpfvm.verifier.machine.regs import pointer, probed
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.passes import (
    attach,
    cfg,
    check_btf,
    const_regs,
    dead_branches,
    depth,
    exceptions,
    postorder,
    resolve,
    subprogs,
)
from ebpfvm.verifier.passes.subprogs import is_kfunc_call
from ebpfvm.verifier.report import addresses
from ebpfvm.verifier.report.log import LEVEL1, LEVEL2, STATS, Log
from ebpfvm.verifier.report.verdict import Verdict
from ebpfvm.verifier.report.why import Reason, Why

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.contract.ops import StructAccess
    from ebpfvm.loader.object import Program
    from ebpfvm.loading import Prepared
    from ebpfvm.verifier.explanation.refused_path import WalkedStep
    from ebpfvm.verifier.explore import Observer
    from ebpfvm.verifier.machine.env import Subprog
    from ebpfvm.verifier.machine.facts import Cfg, Findings, LiveStack
    from ebpfvm.verifier.machine.walk import StepNotes, Walk
    from ebpfvm.verifier.report.walk_tree import TreeRecorder

    Consts = dict[int, Sequence[const_regs.Value | None]]

ALL_CAPS = Caps()
LONG_WALK = 200_000
"""Number of processed instructions above which level 1 omits the walk, because walking again for the log takes long."""


class _Run:
    """One verification: the walk, once it has started, and its outcome."""

    def __init__(self, env: Env, log_level: int, observe: Observer | None, log_walk: bool,
                 recorder: StepNotes | None = None) -> None:
        self.recorder = recorder
        self.program = env.program
        self.env = env
        self.log = Log(log_level, env.program, env.rules, self.insn_text, log_walk)
        self.observe = observe
        self.explorer: Explorer | None = None
        self.began = time.perf_counter()

    @property
    def walk(self) -> Walk | None:
        """The walk, once there is one."""
        return self.explorer.walk if self.explorer is not None else None

    def insn_text(self, pc: int) -> str:
        """Return an instruction as the kernel's log prints it, with names of helpers and kfuncs."""
        from ebpfvm.isa.disasm import kernel_text  # an accepted program has no log as a rule
        insns = self.env.program.insns
        insn = insns[pc]
        if insn.is_ld_imm64 and insn.src in addresses.KINDS:
            insns = addresses.resolved(self.env, pc)
            pc = 0
        elif pc in self.program.poisoned:
            return "<invalid CO-RE relocation>"
        elif is_kfunc_call(insn):
            if insn.imm in self.program.kfuncs and self.env.kfuncs.get(insn.imm, insn) is None:
                return "<invalid kfunc call>"
            name = self._call_name(insn) or "kernel-function"
            return f"({insn.code:02x}) call {name}#{addresses.kfunc_id(self.env, insn.imm)}"
        return kernel_text(insns, pc, call_name=self._call_name)

    def _call_name(self, insn: object) -> str | None:
        src, imm = insn[2], insn[4]  # type: ignore[index]
        if src == 2:
            kfunc = self.env.kfuncs.get(imm)
            return kfunc.name if kfunc is not None else None
        if not imm:
            return "bpf_unspec"
        helper = self.env.dialect.helpers.get(imm)
        return helper.name if helper is not None else None

    def passes(self) -> None:
        """Run all passes in the kernel's order."""
        env, program = self.env, self.program
        self._load_rights()
        env.maps = resolve.maps_of(program, env.dialect)
        check_btf.early(program)
        slot = exceptions.callback_slot(program) if env.rules.has_exceptions else 0
        env.subprogs, env.kfuncs = subprogs.find(program, env.dialect, env.caps, slot)
        env.exception_cb = next(item.index for item in env.subprogs if item.start == slot)
        for item in env.subprogs:
            self.log.detail(f"func#{item.index} @{item.start}")
        subprogs.check(program, env.subprogs)
        check_btf.check(program, env.subprogs)
        resolve.check(env)
        marks = cfg.check(env)
        attach.check(env)
        flow = self._flow(marks)
        consts = None
        if env.rules.folds_constants:
            consts = const_regs.compute(env, flow.after, flow.orders)
            dead_branches.fold(env, consts)
            flow = self._flow(marks)
            depth.recursion(env)
        live = Live(live_registers.registers(env, flow), self._stack(flow, consts))
        self._log_live(live)
        on_walk = None
        if env.rules.stack_liveness == "walk":
            from ebpfvm.verifier.liveness.stack_walk import WalkLiveness
            on_walk = WalkLiveness(env, flow, self.log)
        facts = Facts(marks, live, cfg.loops(env, flow.after))
        self.explorer = Explorer(env, facts, self.log, on_walk, self.observe, self.recorder)
        if not env.rules.globals_when_called:
            self._globals(self.explorer)
        self._main(self.explorer)
        if env.rules.globals_when_called:
            self._globals(self.explorer)
        self._after(self.explorer.walk.found)

    def _flow(self, marks: Cfg) -> ControlFlow:
        after = cfg.edges(self.env)
        return ControlFlow(marks, after, postorder.of_functions(self.env, after))

    def _stack(self, flow: ControlFlow, consts: Consts | None) -> LiveStack | None:
        """Run the pass over the stack before the walk, if there is one.

        An observer of the walk needs it in any case.
        """
        env = self.env
        if env.rules.stack_liveness != "static" and self.observe is None:
            return None
        log = self.log if env.rules.stack_liveness == "static" else None
        if consts is None:
            consts = const_regs.compute(env, flow.after, flow.orders)
        analysis = stack_static.Analysis(env, flow, consts, log)
        analysis.run()
        return stack_static.StaticLiveness(env, analysis.instances, flow.cfg.callback)

    def _load_rights(self) -> None:
        """Check capabilities, as bpf_prog_load does."""
        needed = self.env.prog_type.caps
        caps = self.env.caps
        missing = (("net_admin" in needed and not caps.net_admin) or ("perfmon" in needed and not caps.perfmon)
                   or ("unpriv" not in needed and not caps.bpf))
        if missing:
            raise Refuse(p.MISSING_CAPABILITY, EPERM, "the capabilities to load a program of this type are missing")

    def _log_live(self, live: Live) -> None:
        if not self.log.all:
            return
        self.log.line("Live regs before insn:")
        loops = cfg.loops(self.env)
        skip = False
        for pc, insn in enumerate(self.env.program.insns):
            if skip:
                skip = False
                continue
            marks = "".join(str(n) if live.regs[pc] >> n & 1 else "." for n in range(10))
            loop = f"{loops[pc]:3d} " if loops[pc] else "    "
            self.log.line(f"{loop}{pc:3d}: {marks} {self.insn_text(pc)}")
            skip = insn.is_ld_imm64

    def _main(self, explorer: Explorer) -> None:
        main = self.env.subprogs[0]
        if main.type_id:
            self._prototype(explorer.walk, main)
        explorer.run(main, {1: pointer(r.CTX)}, [field.name for field in self.env.prog_type.fields if field.owned])
        self.log.reset()

    def _prototype(self, walk: Walk, main: Subprog) -> None:
        """Log what a kernel says about a main program whose prototype it cannot read, which has no further effect."""
        try:
            global_funcs.arguments(walk, main)
        except Refuse as refuse:
            if refuse.errno in (EINVAL, EOPNOTSUPP):
                for text in refuse.lines:
                    self.log.line(text)

    def _globals(self, explorer: Explorer) -> None:
        """Verify each global function that is called, separately; or all, before anything is called."""
        done: set[int] = set()
        called = explorer.walk.found.called
        if not self.env.rules.globals_when_called:
            called = {item.index for item in self.env.subprogs if item.index and item.is_global}
        if self.env.exception_cb:
            called.add(self.env.exception_cb)
        while True:
            waiting = [item for item in self.env.subprogs if item.index in called and item.index not in done]
            if not waiting:
                return
            for item in waiting:
                done.add(item.index)
                self._global(explorer, item)

    def _global(self, explorer: Explorer, item: Subprog) -> None:
        walk = explorer.walk
        say = self.log.line if self.env.rules.globals_announced_without_log else self.log.note
        say(f"Validating {item.name}() func#{item.index}...")
        wanted = global_funcs.arguments(walk, item)
        global_funcs.check_exception_callback(walk, item, wanted)
        explorer.run(item, global_funcs.initial_registers(walk, wanted))
        self.log.reset()
        self.log.note(f"Func#{item.index} ('{item.name}') is safe for any args that match its prototype")

    def _after(self, found: Findings) -> None:
        depth.check(self.env, found.stack_depth, found.async_callbacks, found.callbacks)
        if found.unconverted:
            raise Refuse(p.VERIFIER_BUG, EFAULT, "verifier bug: error during ctx access conversion (0)")
        if found.reached_weak:
            raise Refuse(p.UNRESOLVED_KFUNC, EINVAL, "invalid kernel function call not eliminated in verifier pass")

    # -- results ----------------------------------------------------------------------------------------------------

    def accepted(self) -> Verdict:
        """Return the verdict on a program that passed all checks."""
        assert self.walk is not None
        self._statistics(True)
        probes = frozenset(pc for pc, type in self.walk.found.pointer_types.items() if probed(type))
        return Verdict(True, log=self.log.text(), processed=self.walk.processed, stats=self._stats(),
                       program=self.program, facts=_facts(probes, self.walk.found.struct_accesses))

    def refused(self, refuse: Refuse) -> Verdict:
        """Return the verdict on a program that a check refused."""
        walking = self.walk is not None
        pc = refuse.pc if refuse.pc is not None else self.walk.pc if self.walk is not None else None
        if refuse.source and pc is not None:
            self.log.source(pc, "; ")
        lines = refuse.lines
        if not self.env.rules.ring_buffer_memory:
            lines = tuple(text.replace("ringbuf_mem", "alloc_mem") for text in lines)
        if self.log.level:
            self.log.refusal(lines, refuse.open_end)
        self._statistics(False)
        message = "\n".join(text for text in lines if not text.startswith(("cur state:", "old state:")))
        # Some checks examine the program as a whole.
        line = self.program.line_at(pc) if pc is not None else None
        return Verdict(False, refuse.errno, message, self.log.text(), self.walk.processed if self.walk else 0,
                       pc, line, refuse.property.id, stats=self._stats() if walking else {}, program=self.program,
                       why=Why(self._sentence(refuse.property, message, pc), self._asked(refuse)))

    def _sentence(self, violated: p.Property, message: str, pc: int | None) -> str:
        """Return what the message means; an instruction that was made unreachable has its own reason."""
        poison = self.program.poisoned.get(pc) if pc is not None else None
        if poison is not None and poison.modelled and message.endswith(poison.reason):
            return ("This kernel's types have no such thing, so the instruction became a call of a helper that no "
                    f"kernel has (invalid func unknown#{self.program.insns[pc or 0].imm}).")
        from ebpfvm.verifier.explanation.message_sentences import explain
        return explain(violated, message, self.env.prog_type.name)

    def _asked(self, refuse: Refuse) -> Callable[[], Reason]:
        """Return a function that finds the cause; if only the path shows it, it walks again, and records the path.

        What finds it is imported here, because most programs are accepted.
        """
        from ebpfvm.verifier.explanation import compiler_effects, reason
        env, walk = self.env, self.walk
        if walk is None or refuse.pc not in (None, walk.pc) or refuse.property is p.STACK_DEPTH:
            depths = walk.found.stack_depth if walk is not None else {}
            return lambda: compiler_effects.without_path(env, refuse, refuse.pc, depths)
        pc = walk.pc
        if refuse.property in (p.TOO_COMPLEX, p.INFINITE_LOOP):
            return lambda: reason.of_loop(env, refuse, pc)
        if walk.processed > LONG_WALK:
            return Reason
        program, dialect, caps, limits = self.program, env.dialect, env.caps, env.budget.limits
        return lambda: _cause(program, dialect, caps, limits)

    def _statistics(self, accepted: bool) -> None:
        if self.log.level & STATS:
            from ebpfvm.verifier.report import stats
            for text in stats.lines(self.env, self.walk, self.began, accepted):
                self.log.line(text)
        self.log.line(self._processed())

    def _processed(self) -> str:
        processed, most, total, peak = 0, 0, 0, 0
        if self.explorer is not None:
            kept = self.explorer.kept
            processed, most, total, peak = self.explorer.walk.processed, kept.most, kept.total, kept.peak
        return (f"processed {processed} insns (limit {LIMIT}) max_states_per_insn {most} total_states {total} "
                f"peak_states {peak} mark_read 0")

    def _stats(self) -> dict[str, int]:
        if self.explorer is None:
            return {}
        kept = self.explorer.kept
        return {"states": kept.total, "peak_states": kept.peak, "max_states_per_insn": kept.most,
                "stack_depth": sum(self.explorer.walk.found.stack_depth.values())}


def verify(program: Program, dialect: Dialect, *, log_level: int = 1, caps: Caps = ALL_CAPS,
           observe: Observer | None = None, prune: bool = True, limits: Limits = DEFAULTS) -> Verdict:
    """Return the verdict on a program for the kernel that `dialect` describes.

    Args:
        program: the program as the loader returns it, or as `ebpfvm.loading.prepare` prepared it for this dialect.
        dialect: what the kernel offers; its rules and messages apply.
        log_level: bits 1 (the walk up to the error, omitted after `LONG_WALK` instructions), 2 (everything) and 4
            (statistics only), as in bpf(2); 0 for no log.
        caps: capabilities of the loading process.
        observe: called as `observe(pc, state, live)` with the abstract state before each step of the walk, and what is
            live then. An observer that keeps a state must copy it (`State.copy`); an exception that it raises ends the
            verification.
        prune: False to continue paths that a verified state subsumes. The verdict is the same but takes longer, and
            `observe` sees every state that a run can reach. With pruning it may miss states that differ from a kept
            one only in dead values and imprecise numbers.
        limits: limits on the number of kept states, the length of the log and the time.

    Returns:
        The verdict. A rejected program raises nothing here; see `Verdict.require`.

    Raises:
        LimitError: the program needs more than `limits` allow, which is not a verdict.
        LoadError: a CO-RE relocation of the program is malformed.
        UsageError: the dialect has no such program type, or `log_level` is out of range.
    """
    judged = prepare(program, dialect)
    if not 0 <= log_level <= 7:
        raise UsageError(f"log level {log_level} is not a sum of 1, 2 and 4")
    # Level 1 never prints the steps of accepted paths, and collecting them takes a third of the time. So the first walk
    # collects none; a rejected program is walked again to produce its log, unless the first walk took very long.
    log_walk = bool(log_level & LEVEL2) or not log_level & LEVEL1 or observe is not None
    budget = Budget(limits)

    def fresh(log_walk: bool) -> _Run:
        return _Run(_env(judged, dialect, caps, budget, prune), log_level, observe, log_walk)

    run = fresh(log_walk)
    try:
        run.passes()
    except Refuse as refuse:
        if run.walk is None or log_walk or run.walk.processed > LONG_WALK:
            return run.refused(refuse)
    else:
        return run.accepted()
    run = fresh(log_walk=True)
    try:
        run.passes()
    except Refuse as refuse:
        return run.refused(refuse)
    raise AssertionError("a program was refused once and accepted the second time")


def _env(judged: Prepared, dialect: Dialect, caps: Caps, budget: Budget, prune: bool = True) -> Env:
    return Env(judged, dialect, dialect.rules_for(judged.type, judged.struct_ops), dialect.rules, caps, prune=prune,
               kernel_ids=judged.kernel_ids, budget=budget)


def walk_to_refusal(program: Program, dialect: Dialect, *, limits: Limits = DEFAULTS, most: int) -> list[WalkedStep]:
    """Return the path on which a program is rejected, with what the verifier knew before each step.

    Args:
        program, dialect, limits: as for `verify`.
        most: number of steps; of a longer path, the last ones.

    Returns:
        The steps; none if the program is accepted, or rejected before or after the walk.
    """
    from ebpfvm.verifier.explanation import refused_path
    from ebpfvm.verifier.explanation.path_record import PathRecorder
    recorder = PathRecorder()
    _, refuse = _recorded(prepare(program, dialect), dialect, ALL_CAPS, limits, recorder)
    return refused_path.steps(recorder, dialect.rules, most) if refuse is not None and recorder.failed else []


def walk_tree(program: Program, dialect: Dialect, *, limits: Limits = DEFAULTS, states: bool = False,
              most: int = 0) -> TreeRecorder:
    """Return the tree of the paths that the verifier walks.

    Args:
        program, dialect, limits: as for `verify`.
        states: whether to keep what is known before each step.
        most: number of steps to keep; 0 for all.
    """
    from ebpfvm.verifier.report.walk_tree import TreeRecorder
    recorder = TreeRecorder(dialect.rules, states, most)
    _, refuse = _recorded(prepare(program, dialect), dialect, ALL_CAPS, limits, recorder)
    recorder.finish(refuse is None)
    return recorder


def _cause(program: Prepared, dialect: Dialect, caps: Caps, limits: Limits) -> Reason:
    """Return why a program is refused, from a walk that records its path."""
    from ebpfvm.verifier.explanation import reason
    from ebpfvm.verifier.explanation.path_record import PathRecorder
    recorder = PathRecorder()
    env, refuse = _recorded(program, dialect, caps, limits, recorder)
    return reason.of_path(env, recorder, refuse) if refuse is not None else Reason()


def _recorded(program: Prepared, dialect: Dialect, caps: Caps, limits: Limits,
              recorder: StepNotes) -> tuple[Env, Refuse | None]:
    """Walk a program and record its steps; return what it was walked in, and the refusal if there is one."""
    run = _Run(_env(program, dialect, caps, Budget(limits)), 0, None, False, recorder)
    try:
        run.passes()
    except Refuse as refuse:
        return run.env, refuse
    return run.env, None


def _facts(probes: frozenset[int], accesses: set[StructAccess]) -> dict[str, Any]:
    facts: dict[str, Any] = {PROBES: probes} if probes else {}
    return facts | {ACCESSES: frozenset(accesses)} if accesses else facts
