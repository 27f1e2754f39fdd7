"""The maps that a program may use (check_map_prog_compatibility, kernel/bpf/verifier.c).

The kernel checks this at the first instruction that names a map, so that errors in earlier instructions are reported
first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EINVAL
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine.signal import Refuse, unsupported

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.env import Env, Map


def check(env: Env, used: Map) -> None:
    """Raise Refuse if programs of this type may not use a map of this kind."""
    _fields(env, used)
    if not used.type.in_programs:
        raise Refuse(p.MAP_NOT_FOR_PROGRAM, EINVAL, "bpf_struct_ops map cannot be used in prog")
    if not used.type.modelled:
        raise unsupported(f"map type {used.type.name}")
    storage = env.rules.storage_may_sleep
    sleeps = {"yes"} | ({"storage"} if storage else set()) | ({"later"} if env.rules.more_maps_may_sleep else set())
    if env.sleepable and used.type.sleepable not in sleeps:
        kinds = "array, hash, ringbuf and local storage" if storage else "array, hash, and ringbuf"
        raise Refuse(p.MAP_NOT_FOR_PROGRAM, EINVAL, f"Sleepable programs can only use {kinds} maps")


def _fields(env: Env, used: Map) -> None:
    traces = env.prog_type.traces
    if traces and used.field_of("list_head", "rb_root"):
        raise Refuse(p.MAP_NOT_FOR_PROGRAM, EINVAL, "tracing progs cannot use bpf_{list_head,rb_root} yet")
    if used.field_of("spin_lock", "res_spin_lock"):
        if env.prog_type.name == "socket_filter":
            raise Refuse(p.MAP_NOT_FOR_PROGRAM, EINVAL, "socket filter progs cannot use bpf_spin_lock yet")
        if traces:
            raise Refuse(p.MAP_NOT_FOR_PROGRAM, EINVAL, "tracing progs cannot use bpf_spin_lock yet")
    if traces and env.rules.traced_timers_barred:
        for kind in ("timer", "wq"):
            if used.field_of(kind):
                raise Refuse(p.MAP_NOT_FOR_PROGRAM, EINVAL, f"tracing progs cannot use bpf_{kind} yet")
