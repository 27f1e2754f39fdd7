"""What a program is loaded for (check_attach_btf_id, kernel/bpf/verifier.c), as far as the program shows it.

It is not known here which functions of a kernel may be traced, replaced or hooked. So whatever depends on that is
refused as unsupported before the walk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EINVAL, ENOTSUPP, ESRCH
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine.signal import Refuse, unsupported
from ebpfvm.verifier.passes.check_btf import has_tail_call

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.env import Env

_TRACED = frozenset({"trace_raw_tp", "trace_fentry", "trace_fexit", "trace_fsession", "trace_iter"})


def check(env: Env) -> None:
    """Raise Refuse for a program that cannot be loaded for this use, or whose use is not modelled."""
    kind, name = env.prog_type, env.prog_type.name
    if kind.sleep == "must" and not env.sleepable:
        raise Refuse(p.SLEEPABLE_TYPE, EINVAL, "Syscall programs can only be sleepable")
    if env.sleepable and kind.sleep == "never":
        raise Refuse(p.SLEEPABLE_TYPE, EINVAL,
                     "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable"
                     if env.rules.sleepable_types_named else "Program of this type cannot be sleepable")
    if kind.fills:
        _struct_ops(env)
    if not kind.judged:
        raise unsupported(f"program type {name}")
    if name == "tracing":
        _tracing(env)


def _struct_ops(env: Env) -> None:
    """Check the member that a program fills (check_struct_ops_btf_id)."""
    if not env.gpl:
        raise Refuse(p.GPL_ONLY, EINVAL, "struct ops programs must have a GPL compatible license")
    place = env.program.struct_ops
    if place is None:
        raise Refuse(p.UNSUPPORTED_MEMBER, EINVAL,
                     'SEC("struct_ops") program isn\'t referenced anywhere, did you forget to use it?')
    if place[0] in env.dialect.absent_ops:  # libbpf says so, before any program reaches the kernel
        raise Refuse(p.UNSUPPORTED_MEMBER, ESRCH,
                     f"struct_ops init_kern: struct bpf_struct_ops_{place[0]} is not found in kernel BTF")
    if place[0] not in env.dialect.struct_ops:
        raise unsupported(f"struct_ops of struct {place[0]}")
    if not env.prog_type.judged:
        raise Refuse(p.UNSUPPORTED_MEMBER, ENOTSUPP,
                     f"attach to unsupported member {place[1]} of struct {place[0]}")
    if any(field.owned for field in env.prog_type.fields) and has_tail_call(env.program, env.subprogs[0]):
        raise Refuse(p.REFERENCE_LEAK, EINVAL, "program with __ref argument cannot tail call")


def _tracing(env: Env) -> None:
    use = env.program.attach_type
    if use not in _TRACED:
        raise unsupported(f"tracing programs of attach type {use}" if use else "tracing programs without attach type")
    if env.sleepable and use != "trace_iter":
        raise unsupported("sleepable tracing programs")
    if use == "trace_fsession" and not env.rules.has_fsession:
        raise unsupported("fsession programs on a kernel before 7.0")
