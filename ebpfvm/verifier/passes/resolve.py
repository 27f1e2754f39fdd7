"""The encoding of each instruction, and the map (or function, or kernel symbol) that a 64-bit immediate names.

Source: check_and_resolve_insns() of Linux 7.2, resolve_pseudo_ldimm64() of 6.18, kernel/bpf/verifier.c.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ebpfvm.contract.mapcreate import as_created, creation_refusal
from ebpfvm.contract.offer_table import key_of
from ebpfvm.errnos import EBADF, EBUSY, EINVAL, ENOTSUPP, EPROTO
from ebpfvm.errors import LoadError, UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.isa import codes as c
from ebpfvm.isa.legality import check_fields, check_slot
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine.env import Map
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.machine.special_fields import special_fields
from ebpfvm.verifier.passes import map_use

if TYPE_CHECKING:
    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.isa.insn import Insn
    from ebpfvm.loader.object import MapSpec, Program
    from ebpfvm.verifier.machine.env import Env

MAX_REG = 11
BPF_F_RDONLY_PROG = 1 << 7
BPF_F_WRONLY_PROG = 1 << 8


def make_map(index: int, spec: MapSpec, dialect: Dialect) -> Map:
    """Return the verifier's view of a map.

    Raises:
        UsageError: the dialect has no such map type.
        Refuse: no kernel creates such a map.
    """
    kind = dialect.map_type(spec.type)
    refusal = creation_refusal(spec, dialect)
    if refusal is not None:
        raise Refuse(p.MAP_DEFINITION, refusal.errno,
                     f"map {spec.name!r} of type {kind.name} cannot be created: {refusal}")
    spec = as_created(spec, dialect)
    number = key_of(dialect.map_types, kind.name)
    assert number is not None
    inner = make_map(-1, spec.inner, dialect) if spec.inner is not None else None
    # The kernel freezes what libbpf calls .rodata after filling it: constant loads are then known.
    frozen = bool(spec.data is not None and spec.map_flags & BPF_F_RDONLY_PROG)
    flags = spec.map_flags
    if kind.prog_read_only:  # a lookup gives the device itself (dev_map_init_map)
        flags |= BPF_F_RDONLY_PROG
    return Map(index, spec, kind, number, spec.name[:15], spec.key_size, spec.value_size, spec.max_entries,
               flags, special_fields(spec, dialect, kind), inner, frozen)


def check(env: Env) -> None:
    """Refuse instructions that no program may contain.

    Raises:
        Refuse: with the kernel's message.
    """
    insns, rules = env.program.insns, env.rules
    early = rules.fields_checked_early
    pc = 0
    while pc < len(insns):
        insn = insns[pc]
        for number in (insn.dst, insn.src) if early else ():
            if number >= MAX_REG and not (number == MAX_REG and _stack_arg(env, insn, number)):
                raise Refuse(p.INVALID_INSN, EINVAL, f"R{number} is invalid", pc=pc)
        problem = _alone(insn, early, rules.lacks) if insn[0] != 0x18 else check_slot(insns, pc) or (
            check_fields(insn, rules.lacks) if early else None)
        if problem is not None:
            raise Refuse(p.INVALID_INSN, EINVAL, problem, pc=pc)
        if insn.is_ld_imm64:
            _immediate(env, pc)
            pc += 1
        pc += 1
    alone = [used.type.name for used in env.maps if used.type.one_per_program]
    if len(alone) > len(set(alone)):
        raise Refuse(p.MAP_NOT_FOR_PROGRAM, EBUSY, "only one cgroup storage of each type is allowed")


@lru_cache(maxsize=1 << 14)
def _alone(insn: Insn, early: bool, lacks: frozenset[str]) -> str | None:
    """Return what is wrong with an instruction of one slot; results are cached, since instructions recur."""
    return check_slot((insn,), 0, lacks) or (check_fields(insn, lacks) if early and not insn.is_atomic else None)


def _stack_arg(env: Env, insn: Insn, number: int) -> bool:
    if env.rules.has_stack_args and insn.code & 7 in (c.BPF_LDX, c.BPF_STX, c.BPF_ST) and number == (
            insn.src if insn.code & 7 == c.BPF_LDX else insn.dst):
        raise Refuse(p.UNSUPPORTED, EINVAL, "stack arguments not supported by ebpfvm")
    return False


def _immediate(env: Env, pc: int) -> None:
    insn, high = env.program.insns[pc], env.program.insns[pc + 1]
    if insn.src in (c.BPF_PSEUDO_MAP_IDX, c.BPF_PSEUDO_MAP_IDX_VALUE):
        raise Refuse(p.INVALID_INSN, EPROTO, "fd_idx without fd_array is invalid", pc=pc)
    if insn.src not in (c.BPF_PSEUDO_MAP_FD, c.BPF_PSEUDO_MAP_VALUE):
        return
    if not 0 <= insn.imm < len(env.maps):
        raise Refuse(p.MAP_REFERENCE, EBADF, f"fd {insn.imm} is not pointing to valid bpf_map", pc=pc)
    map_use.check(env, env.maps[insn.imm])
    if insn.src == c.BPF_PSEUDO_MAP_VALUE:
        used, off = env.maps[insn.imm], high.imm & U32_MAX
        if not used.type.value_access:
            raise Refuse(p.MAP_VALUE_ADDRESS, EINVAL, "no direct value access support for this map type", pc=pc)
        if off >= 1 << 29 and env.rules.limits_value_offset:
            raise Refuse(p.MAP_VALUE_ADDRESS, EINVAL, f"direct value offset of {off} is not allowed", pc=pc)
        if used.max_entries != 1:
            raise Refuse(p.MAP_VALUE_ADDRESS, ENOTSUPP,
                         f"invalid access to map value pointer, value_size={used.value_size} "
                                           f"off={off}", pc=pc)
        if off >= used.value_size:
            raise Refuse(p.MAP_VALUE_ADDRESS, EINVAL,
                         f"invalid access to map value pointer, value_size={used.value_size} off={off}",
                         pc=pc)


def maps_of(program: Program, dialect: Dialect) -> tuple[Map, ...]:
    """Return all maps of a program.

    Raises:
        Refuse: this dialect cannot have one of the maps, or no kernel creates it.
    """
    found = []
    for index, spec in enumerate(program.maps):
        try:
            found.append(make_map(index, spec, dialect))
        except (UsageError, LoadError) as error:
            raise Refuse(p.MAP_DEFINITION, EINVAL, f"map {spec.name!r}: {error}") from error
    return tuple(found)
