"""Mistakes in programs of queueing disciplines: what people forget or mix up, applied to a program that may be right.

`mistake` forgets a call (a lock, a release) or a NULL check, calls another kernel function, exchanges arguments or
shifts them, names another struct for bpf_obj_new, uses another offset, or gives the program to another member. Instead
of a constant or a register, the whole of what a call receives is changed, so more of the rules for calls are touched
than by `ebpfvm.testing.mutate`, whose changes are made too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.btf import types as t
from ebpfvm.isa.insn import Insn
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.testing import mutate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from ebpfvm.loader.object import Program

_CALL, _EXIT = 0x85, 0x95
_OFFSETS: Final = (0, 4, 8, 12, 16, 20, 24, 32, 36, 40, 48, 60, 66, 68, 112, 208, 212, 244, 260, 264, 4096)
MEMBERS: Final = ("enqueue", "dequeue", "init", "reset", "destroy")
KFUNCS: Final = (
    "bpf_skb_get_hash", "bpf_kfree_skb", "bpf_dynptr_from_skb", "bpf_qdisc_skb_drop", "bpf_qdisc_watchdog_schedule",
    "bpf_qdisc_bstats_update", "bpf_qdisc_init_prologue", "bpf_qdisc_reset_destroy_epilogue",
    "bpf_obj_new", "bpf_obj_drop", "bpf_obj_new_impl", "bpf_obj_drop_impl", "bpf_refcount_acquire",
    "bpf_refcount_acquire_impl", "bpf_list_push_front", "bpf_list_push_back", "bpf_list_push_front_impl",
    "bpf_list_push_back_impl", "bpf_list_add", "bpf_list_pop_front", "bpf_list_pop_back", "bpf_list_del",
    "bpf_list_front", "bpf_list_back", "bpf_list_empty", "bpf_list_is_first", "bpf_list_is_last", "bpf_rbtree_add",
    "bpf_rbtree_add_impl", "bpf_rbtree_remove", "bpf_rbtree_first", "bpf_rbtree_root", "bpf_rbtree_left",
    "bpf_rbtree_right", "bpf_iter_num_new", "bpf_iter_num_next", "bpf_iter_num_destroy", "bpf_dynptr_slice",
    "bpf_dynptr_slice_rdwr", "bpf_dynptr_size", "bpf_dynptr_is_null", "bpf_dynptr_is_rdonly", "bpf_dynptr_clone",
    "bpf_dynptr_adjust", "bpf_rcu_read_lock", "bpf_rcu_read_unlock", "bpf_cast_to_kern_ctx", "bpf_rdonly_cast")
"""Kernel functions that a call is changed to, whether qdiscs may call them or not."""
_HELPERS: Final = (1, 2, 3, 5, 6, 7, 12, 14, 26, 80, 93, 94, 113, 118, 164, 181, 194)


def mistake(random: Random, program: Program, changes: int = 1) -> Program:
    """Return the program with `changes` mistakes."""
    for _ in range(changes):
        if random.random() < 0.25:
            program = mutate.mutate(random, program)
        else:
            program = random.choice(_MISTAKES)(random, program)
    return program


def inserted(program: Program, at: int, new: Sequence[Insn]) -> Program:
    """Return the program with instructions inserted before slot `at`; jumps to that slot go to the first of them."""
    count = len(new)
    code = [_moved(insn, pc, at, count) for pc, insn in enumerate(program.insns)]
    code[at:at] = new
    infos = tuple(replace(info, insn_off=info.insn_off + count * (info.insn_off > at)) for info in program.func_info)
    lines = tuple(replace(line, insn_off=line.insn_off + count * (line.insn_off > at)) for line in program.line_info)
    return replace(program, insns=tuple(code), func_info=infos, line_info=lines)


def replaced(program: Program, code: Sequence[Insn], kfuncs: Mapping[int, str] | None = None) -> Program:
    """Return a program of other instructions, in one function, with the same maps and types."""
    return replace(program, insns=tuple(code), func_info=program.func_info[:1],
                   kfuncs=program.kfuncs if kfuncs is None else kfuncs)


def _moved(insn: Insn, pc: int, at: int, count: int) -> Insn:
    """Return an instruction whose distance spans the new ones."""
    local = (insn.code == _CALL and insn.src == 1) or (insn.is_ld_imm64 and insn.src == 4)
    wide = local or insn.code == 0x06
    jump = insn.code & 7 in (5, 6) and insn.code not in (_CALL, _EXIT)
    if not (wide or jump):
        return insn
    target = pc + 1 + (insn.imm if wide else insn.off)
    move = count * (target > at) - count * (pc >= at)
    return insn._replace(imm=insn.imm + move) if wide else insn._replace(off=insn.off + move)


def _calls(program: Program) -> list[int]:
    return [pc for pc, insn in enumerate(program.insns) if insn.code == _CALL and insn.src in (0, 2)]


def _changed(program: Program, pc: int, insn: Insn) -> Program:
    code = list(program.insns)
    code[pc] = insn
    return replace(program, insns=tuple(code))


def _forget_call(random: Random, program: Program) -> Program:
    """Forget a call; R0 becomes zero, or stays what it was."""
    calls = _calls(program)
    return _changed(program, random.choice(calls), random.choice((mutate.NOP, Insn(0xB7)))) if calls else program


def _other_call(random: Random, program: Program) -> Program:
    """Call another function with the same arguments."""
    calls = _calls(program)
    if not calls:
        return program
    pc = random.choice(calls)
    if random.random() < 0.2:
        return _changed(program, pc, Insn(_CALL, imm=random.choice(_HELPERS)))
    name = random.choice(sorted(set(program.kfuncs.values())) if random.random() < 0.4 and program.kfuncs else KFUNCS)
    number = next((number for number, known in program.kfuncs.items() if known == name),
                  max((0, *program.kfuncs)) + 1)
    return replace(_changed(program, pc, Insn(_CALL, 0, 2, 0, number)), kfuncs={**program.kfuncs, number: name})


def _double_call(random: Random, program: Program) -> Program:
    """Repeat a call with what the registers hold afterwards, or with saved arguments."""
    calls = _calls(program)
    if not calls:
        return program
    pc = random.choice(calls)
    again = [program.insns[pc]]
    if random.random() < 0.7:
        again = [Insn(0xBF, number, random.choice((6, 7, 8, 9))) for number in (1, 2)][:random.choice((1, 2))] + again
    return inserted(program, pc + 1, again)


def _arguments(random: Random, program: Program) -> Program:
    """Exchange, shift or replace the arguments of a call."""
    calls = _calls(program)
    if not calls:
        return program
    one, other = random.sample((1, 2, 3), 2) if random.random() < 0.4 else (1, 2)
    new = random.choice((
        [Insn(0xBF, 0, one), Insn(0xBF, one, other), Insn(0xBF, other, 0)],
        [Insn(0x07, one, 0, 0, random.choice((8, -8, 4, 1, 16, 24, 32)))],
        [Insn(0xB7, one, 0, 0, random.choice((0, 0, 1, 64, -1)))],
        [Insn(0xBF, one, random.choice((6, 7, 8, 9, other)))],
        [Insn(0xBF, one, 10), Insn(0x07, one, 0, 0, random.choice((-8, -16, -24)))]))
    return inserted(program, random.choice(calls), new)


def _null_check(random: Random, program: Program) -> Program:
    """Forget a comparison with zero, or turn it round."""
    checks = [pc for pc, insn in enumerate(program.insns) if insn.code in (0x15, 0x55) and not insn.imm]
    if not checks:
        return program
    pc = random.choice(checks)
    insn = program.insns[pc]
    return _changed(program, pc, random.choice((mutate.NOP, mutate.NOP, insn._replace(code=insn.code ^ 0x40),
                                                Insn(0x05, off=insn.off))))


def _struct(random: Random, program: Program) -> Program:
    """Name another struct where an object is allocated."""
    number = {number for number, name in program.kfuncs.items() if name.startswith("bpf_obj_new")}
    places = [pc for pc in range(1, len(program.insns)) if program.insns[pc].code == _CALL
              and program.insns[pc].src == 2 and program.insns[pc].imm in number]
    if not places or program.btf is None:
        return program
    structs = [type_id for type_id, found in program.btf.items() if isinstance(found, t.Struct)]
    chosen = random.choice(structs) if random.random() < 0.9 and structs else random.randrange(40)
    return inserted(program, random.choice(places), [Insn(0xB7, 1, 0, 0, chosen)])


def _offset(random: Random, program: Program) -> Program:
    """Read or write at another offset of the same struct."""
    places = [pc for pc, insn in enumerate(program.insns) if insn.code & 7 in (1, 2, 3) and insn.dst != 10]
    if not places:
        return program
    pc = random.choice(places)
    return _changed(program, pc, program.insns[pc]._replace(off=random.choice(_OFFSETS)))


def _member(random: Random, program: Program) -> Program:
    """Give the program to another member."""
    if program.struct_ops is None or random.random() < 0.5:
        return _arguments(random, program)
    return replace(program, struct_ops=(program.struct_ops[0], random.choice(MEMBERS)))


def _access(random: Random, program: Program) -> Program:
    """Read or write through some register."""
    base, other = random.choice((0, 6, 7, 8, 9)), random.choice((0, 1, 2))
    off, size = random.choice(_OFFSETS), random.choice((0x00, 0x08, 0x10, 0x18, 0x18))
    new = random.choice((Insn(0x61 | size, other, base, off), Insn(0x62 | size, base, 0, off),
                         Insn(0x63 | size, base, base, off), Insn(0x7B, 10, base, -random.choice((8, 16, 64)))))
    places = [pc for pc, insn in enumerate(program.insns) if insn.code]
    return inserted(program, random.choice(places), [new])


def _early_exit(random: Random, program: Program) -> Program:
    """Return in the middle."""
    places = [pc for pc, insn in enumerate(program.insns) if insn.code]
    return inserted(program, random.choice(places), [Insn(0xB7), Insn(0x55, 10, 0, 1, 0), Insn(_EXIT)]
                    if random.random() < 0.2 else [Insn(0xB7), Insn(_EXIT)])


_MISTAKES: tuple[Callable[[Random, Program], Program], ...] = (
    _forget_call, _forget_call, _other_call, _other_call, _other_call, _double_call, _arguments, _arguments,
    _null_check, _null_check, _struct, _offset, _offset, _member, _access, _access, _early_exit)
