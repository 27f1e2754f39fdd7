"""Helper calls (check_helper_call, kernel/bpf/verifier.c): who may call what, then arguments, then effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract.args import Arg, Ret
from ebpfvm.contract.format_strings import wanted
from ebpfvm.contract.offer_table import key_of
from ebpfvm.contract.roles import HelperRole, complete
from ebpfvm.errnos import EACCES, EFAULT, EINVAL, ENOTSUPP
from ebpfvm.ints import S32_MAX, U64_MAX
from ebpfvm.verifier.calling import dynptrs, frames, helper_args
from ebpfvm.verifier.calling.call_meta import Call
from ebpfvm.verifier.domain.num import Num
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import references
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import SCALAR, UNKNOWN_SCALAR, Reg, is_null, pointer
from ebpfvm.verifier.machine.signal import Refuse, unsupported
from ebpfvm.verifier.machine.special_fields import StructType
from ebpfvm.verifier.machine.state import EMPTY, MISC
from ebpfvm.verifier.memory import btf_access, ksyms
from ebpfvm.verifier.memory import stack as stack_
from ebpfvm.verifier.values import packet_pointers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ebpfvm.contract.helper import Helper
    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.machine.walk import Step, Walk

_WRITERS = frozenset({"update", "delete", "push", "pop"})


def build(w: Walk, pc: int, insn: Insn) -> Step:
    """Return the step for a call of a helper."""
    env = w.env
    number = insn.imm
    general = env.dialect.helpers.get(number)
    name = general.name if general is not None else "unknown" if number else "bpf_unspec"
    hooks = (env.program.attach, env.program.attach_type) if env.program.attach_type else (env.program.attach,)
    offered = next(filter(None, (env.dialect.helper(number, env.prog_type, hook) for hook in hooks)), None)
    if offered is not None and offered.cap and not (env.caps.bpf and (offered.cap == "bpf" or env.caps.perfmon)):
        offered = None  # bpf_base_func_proto offers it only with the capability
    poison = env.program.poisoned.get(pc)
    after = pc + 1
    refused = "program of this type cannot use helper" if env.rules.type_named_for_helper else "unknown func"
    leaves = general is not None and general.role == "tail_call" and env.rules.tail_call_returns

    def step(w: Walk) -> int:
        if w.state.locks and (general is None or not general.in_lock
                              or (general.role != "unlock" and not env.rules.longer_lock_list)):
            raise Refuse(p.LOCK_HELD, EINVAL, "function calls are not allowed while holding a lock")
        if not number:
            raise Refuse(p.HELPER_NOT_ALLOWED, EINVAL, f"{refused} bpf_unspec#0")
        if general is None:
            if poison is not None:
                raise Refuse(p.UNKNOWN_HELPER, EINVAL, poison.reason) if poison.modelled else unsupported(poison.reason)
            raise Refuse(p.UNKNOWN_HELPER, EINVAL, f"invalid func {name}#{number}")
        if offered is None:
            raise Refuse(p.HELPER_NOT_ALLOWED, EINVAL, f"{refused} {name}#{number}")
        if offered.gpl_only and not env.gpl:
            raise Refuse(p.GPL_ONLY, EINVAL, "cannot call GPL-restricted function from non-GPL compatible program")
        if offered.barred:
            raise Refuse(p.HELPER_NOT_ALLOWED, EINVAL, f"helper call is not allowed in {offered.barred}")
        _context(w, offered, number)
        call(w, offered, number)
        return frames.may_leave(w, after, UNKNOWN_SCALAR, offered.changes_packet) if leaves else after
    return step


def _context(w: Walk, helper: Helper, number: int) -> None:
    """Check that a helper that may sleep is not called where sleeping is forbidden."""
    if not helper.might_sleep:
        return
    if not w.env.rules.one_sleep_check and not w.in_sleepable():
        raise Refuse(p.SLEEPING_CALL, EINVAL, "helper call might sleep in a non-sleepable prog")
    state = w.state
    where = ("rcu_read_lock region" if state.rcu else "non-preemptible region" if state.preempt
             else "IRQ-disabled region" if state.irq_id else "non-sleepable prog" if not w.in_sleepable() else "")
    if where:
        raise Refuse(p.SLEEPING_CALL, EINVAL, f"sleepable helper {helper.name}#{number} in {where}")


def call(w: Walk, helper: Helper, number: int) -> None:
    """Check the arguments, then apply the effects and set the result."""
    made = Call(helper, number)
    before = None
    for at, spec in enumerate(helper.args, 1):
        try:
            helper_args.check(w, made, at, spec, before)
        except Refuse as refuse:
            raise refuse.about(at)  # noqa: B904 (it is the same one)
        before = spec
    _map_rules(w, made)
    if made.fill is not None:
        _fill(w, *made.fill)
    dynptrs.finish(w, made)
    if made.release:
        _release(w, made)
    _specials(w, made)
    for at, spec in enumerate(helper.args, 1):
        if spec.low is not None and spec.high is not None:
            _within(w, helper, at, (spec.low, spec.high))
    regs = w.regs
    old = regs[1:6]
    w.clobber(w.frame)
    result = _result(w, made, old)
    regs[0] = result
    _map_fits(w, made)
    if helper.needs_function:
        _function_known(w, helper, number)
    # A write through a dynptr of a packet may need to make it linear or private first.
    written = helper.role == "dynptr_write" and made.dynptr is not None and made.dynptr.kind in ("skb", "skb_meta")
    # A tail call returns only if it fails, and then the packet has not moved; `may_leave` pushes the other path.
    stays = helper.in_engine and (w.env.rules.tail_call_returns or not w.env.rules.calls_move_packets)
    if (helper.changes_packet and not stays) or written:
        packet_pointers.forget(w.state)


def _within(w: Walk, helper: Helper, at: int, allowed: tuple[int, int]) -> None:
    """Raise Refuse if argument `at` is not a number within a range."""
    reg = w.regs[at]
    assert reg is not None
    if reg.type != SCALAR:
        raise Refuse(p.ARGUMENT_TYPE, EINVAL, f"R{at} is not a scalar")
    if w.env.program.attach_type == "cgroup_getsockopt":  # the kernel checks the value after the run
        return
    w.precise(at)
    frames.check_range(w, reg, allowed, f"At {helper.name}", bits32=True, number=at)


def _function_known(w: Walk, helper: Helper, number: int) -> None:
    """Raise Refuse if the program type is not attached to a function (check_get_func_ip)."""
    kind, program = w.env.prog_type, w.env.program
    if kind.name == "tracing":
        if program.attach_type in ("trace_raw_tp", "trace_iter"):
            names = "fentry/fexit/fsession/fmod_ret" if w.env.rules.has_fsession else "fentry/fexit/fmod_ret"
            raise Refuse(p.HELPER_NOT_ALLOWED, ENOTSUPP,
                         f"func {helper.name}#{number} supported only for {names} programs")
    elif kind.name != "kprobe":
        type_number = key_of(w.env.dialect.prog_types, kind.name)
        raise Refuse(p.HELPER_NOT_ALLOWED, ENOTSUPP,
                     f"func {helper.name}#{number} not supported for program type {type_number}")


def _map_rules(w: Walk, made: Call) -> None:
    """Record the map and key of the call (record_func_map and record_func_key)."""
    used, helper = made.map, made.helper
    if used is not None and helper.map_op in _WRITERS and used.flags & 1 << 7:
        raise Refuse(p.MAP_ACCESS_RIGHTS, EACCES, "write into map forbidden")
    if helper.role == "tail_call":
        if used is None or helper.name not in used.type.funcs:
            raise Refuse(p.HELPER_MAP_TYPE, EINVAL, "expected prog array map for tail call", open_end=True)
        index = w.regs[3]
        if index is not None and index.type == SCALAR and not index.num.mask and index.num.value < used.max_entries:
            w.precise(3)


def _fill(w: Walk, number: int, size: int) -> None:
    """Mark `size` bytes of stack as written by the helper."""
    reg = w.regs[number]
    assert reg is not None
    low = reg.off + reg.num.smin
    frame = w.state.frames[reg.what]
    stack = frame.stack_for_write()
    for off in range(low, low + size):
        index, at = -off - 1 >> 3, -off - 1 & 7
        w.scratched.slot(index)
        stack[index] = stack_.put_bytes(stack.get(index, EMPTY), at, 1, MISC)


def _release(w: Walk, made: Call) -> None:
    spec = made.helper.args[made.release - 1]
    if spec.kind is Arg.PTR_TO_DYNPTR:
        dynptrs.release(w, made)
        return
    reg = w.regs[made.release]
    assert reg is not None
    if is_null(reg):
        return
    if not made.ref or not references.release(w, made.ref):
        raise Refuse(p.RELEASE_UNOWNED, EINVAL,
                     f"func {made.helper.name}#{made.number} reference has not been acquired before")


def _specials(w: Walk, made: Call) -> None:
    if not made.helper.modelled:
        raise unsupported(f"helper {made.helper.name}#{made.number}")
    rule = _BY_ROLE.get(made.helper.role)
    if rule is not None:
        rule(w, made)


def _tail_call(w: Walk, made: Call) -> None:
    references.check_leaks(w, "tail_call")


def _walk_map(w: Walk, made: Call) -> None:
    assert made.map is not None
    if not made.map.type.for_each:
        raise Refuse(p.HELPER_MAP_TYPE, ENOTSUPP, "callback function not allowed for map")
    frames.push_callback(w, made.subprog, frames.for_each_callback)


def _find_vma(w: Walk, made: Call) -> None:
    frames.push_callback(w, made.subprog, frames.vma_callback)


def _drain(w: Walk, made: Call) -> None:
    frames.push_callback(w, made.subprog, frames.drain_callback(w))


def _loop(w: Walk, made: Call) -> None:
    _inlined(w, made.subprog)
    count = w.regs[1]
    assert count is not None
    counts = w.env.rules.counts_loops
    if count.type != SCALAR and counts:
        raise Refuse(p.VERIFIER_BUG, EFAULT,
                     "verifier bug: backtracking misuse")  # 6.18 accepts any value here and fails later
    if count.type == SCALAR:
        w.precise(1)
    most = count.num.umax if count.type == SCALAR else U64_MAX
    if w.frame.callback_depth < (most if counts else max(most, 1)):
        frames.push_callback(w, made.subprog, frames.loop_callback)
    else:
        w.frame.callback_depth = 0
        w.log.detail(f"frame{w.frame.no} {made.helper.name} iteration limit reached")


def _set_timer(w: Walk, made: Call) -> None:
    frames.push_async(w, made.subprog, frames.timer_callback)


def _local_storage(w: Walk, made: Call) -> None:
    flags = w.regs[2]
    if flags is None or flags.type != SCALAR or flags.num.mask or flags.num.value:
        raise Refuse(p.CONSTANT_ARGUMENT, EINVAL, "get_local_storage() doesn't support non-zero flags")


def _dynptr_from_mem(w: Walk, made: Call) -> None:
    source = w.regs[1]
    assert source is not None
    if source.type != r.MAP_VALUE:
        raise Refuse(p.ARGUMENT_TYPE, EACCES,
                     f"Unsupported reg type {r.type_name(source.type)} for {made.helper.name} data")


def _inlined(w: Walk, callback: int) -> None:
    """Record whether the kernel can replace this bpf_loop by an inlined loop (update_loop_inline_state)."""
    before = w.found.inlined_loops.get(w.pc)
    if before is not None and not before[0]:
        return
    flags = w.regs[4]
    plain = flags is not None and is_null(flags)
    if plain:
        w.precise(4)
    w.found.inlined_loops[w.pc] = (plain and (before is None or before[1] == callback), callback)


def _format(w: Walk, made: Call) -> None:
    """Check that the format of bpf_snprintf fits its arguments (check_bpf_snprintf_call)."""
    fmt, size = w.regs[3], w.regs[5]
    assert fmt is not None and size is not None
    if size.num.value % 8:
        raise Refuse(p.CONSTANT_STRING, EINVAL)  # the kernel prints nothing here
    text = fmt.what.spec.data[fmt.off + fmt.num.smin:].partition(b"\0")[0]
    count = wanted(text)
    if count is None or count > size.num.value // 8:
        raise Refuse(p.CONSTANT_STRING, EINVAL, "Invalid format string")


# None: only the arguments or the result of the call are special.
_BY_ROLE: Mapping[str, Callable[[Walk, Call], None] | None] = {
    "tail_call": _tail_call, "walk_map": _walk_map, "loop": _loop, "find_vma": _find_vma, "drain": _drain,
    "set_timer": _set_timer, "local_storage": _local_storage, "format": _format, "dynptr_from_mem": _dynptr_from_mem,
    **dict.fromkeys(("tc_classify", "kptr_xchg", "lock", "unlock", "cast", "dynptr_data", "dynptr_write"))}
complete(HelperRole, _BY_ROLE, "ebpfvm.verifier.calling.helper_calls")


def _result(w: Walk, made: Call, old: list[Reg | None]) -> Reg | None:
    """Return R0 after the call."""
    ret = made.helper.ret
    if ret.kind is Ret.VOID:
        return None
    if ret.kind is Ret.INTEGER:
        return _number(w, made)
    base, what, flags = _pointed_to(w, made, old[0])
    id = ref = 0
    if flags & r.MAYBE_NULL or (base == r.MAP_VALUE and made.map is not None
                                and made.map.field_of("spin_lock", "res_spin_lock")):
        id = w.new_id()
    aux = made.map_uid if base == r.MAP_VALUE else 0
    sock_map = made.helper.map_op == "lookup" and made.map is not None and made.map.type.gives == "socket"
    if made.helper.role == "cast":
        ref = made.ref
        if ref and w.env.rules.casts_fork:
            # NULL is walked as a separate path, so the result depends only on the reference and needs no id.
            w.push(w.pc + 1, w.pc).frames[-1].regs[0] = r.known(0)
            flags, id = flags & ~r.MAYBE_NULL, ref
    elif made.helper.role == "dynptr_data":
        ref, aux = dynptrs.data_refs(w, made)
    elif ret.acquire or sock_map:
        id = ref = references.acquire(w)
    return pointer(base | flags, what, id=id, ref=ref, aux=aux)


_SOCKETS = {Ret.PTR_TO_SOCKET: r.SOCKET, Ret.PTR_TO_TCP_SOCK: r.TCP_SOCK, Ret.PTR_TO_SOCK_COMMON: r.SOCK_COMMON}


def _pointed_to(w: Walk, made: Call, first: Reg | None) -> tuple[int, object, int]:
    """Return base type, object and flags of the pointer that a helper returns; `first` was its first argument."""
    ret, kind = made.helper.ret, made.helper.ret.kind
    flags = r.MAYBE_NULL if ret.maybe_null else 0
    flags |= (r.RDONLY if ret.rdonly else 0) | (r.RINGBUF if ret.ringbuf else 0) | (
        r.TRUSTED if ret.trusted and w.env.rules.trusts_pointers else 0)
    if kind is Ret.PTR_TO_MAP_VALUE:
        assert made.map is not None
        if made.helper.map_op == "lookup" and 0 <= made.const_key < made.map.max_entries:
            flags &= ~r.MAYBE_NULL
        return r.MAP_VALUE, made.map, flags
    if kind is Ret.PTR_TO_MEM:
        return r.MEM, ret.size or made.mem_size, flags
    if kind is Ret.PTR_TO_BTF_ID:
        return _object(w, made, flags)
    if kind is Ret.PTR_TO_MEM_OR_BTF_ID:
        assert first is not None
        return ksyms.of_cpu(first, flags)
    return _SOCKETS[kind], None, flags


def _number(w: Walk, made: Call) -> Reg:
    ret = made.helper.ret
    low, high = ret.low, ret.high
    if ret.within_size and made.max_size is not None and made.max_size <= S32_MAX:
        low, high = -4095, made.max_size
    if low is None or high is None:
        return UNKNOWN_SCALAR
    return Reg(SCALAR, bounded(w, low, high))


def bounded(w: Walk, low: int, high: int) -> Num:
    """Return a number between two signed 64-bit numbers."""
    num = UNKNOWN_SCALAR.num
    assume = w.arithmetic.assume
    num = assume["jsge", 64](num, r.known(low).num)[0]
    return assume["jsle", 64](num, r.known(high).num)[0]


def _object(w: Walk, made: Call, flags: int) -> tuple[int, StructType, int]:
    ret = made.helper.ret
    if made.kptr is not None:
        target = btf_access.struct_of(w, made.kptr)
        if target.btf is not None:
            flags |= r.ALLOC | (r.PERCPU if made.kptr.kind == "kptr_percpu" else 0)
        return r.BTF_ID, target, flags
    if not ret.btf:
        raise unsupported(f"helper {made.helper.name}#{made.number}")
    return r.BTF_ID, StructType(ret.btf), flags


def _map_fits(w: Walk, made: Call) -> None:
    """Check, as the last check, that the map type and the helper fit together (check_map_func_compatibility)."""
    used, helper, name = made.map, made.helper, made.helper.name
    if used is None:
        return
    kind = used.type
    if any(spec.kind is Arg.CONST_MAP_PTR for spec in helper.args) and name not in kind.funcs:
        raise Refuse(p.HELPER_MAP_TYPE, EINVAL, f"cannot pass map_type {used.number} into func {name}#{made.number}")
    # sock_ops programs may delete sockets from such a map, but can add them only through dedicated helpers.
    changers = {"update": kind.update_from, "delete": kind.update_from | {"sock_ops"}}
    if kind.update_from and w.env.prog_type.name not in changers.get(helper.map_op, {w.env.prog_type.name}):
        raise Refuse(p.HELPER_MAP_TYPE, EINVAL, f"cannot pass map_type {used.number} into func {name}#{made.number}")
    if helper.role == "tail_call" and w.frame.cb and w.env.rules.bars_tail_calls:
        raise Refuse(p.NOT_IN_CALLBACK, EINVAL, "cannot tail call within callback")


