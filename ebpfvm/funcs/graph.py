"""Objects that a program allocates, and the lists and trees that hold them (kernel/bpf/helpers.c, Linux 7.2).

What a `bpf_list_head` or `bpf_rb_root` holds is kept in the kernel's `Graph`.

The `_impl` spellings are those of all kernels so far; 7.2 adds the same functions without the suffix, whose hidden last
arguments the verifier fills in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import kfunc
from ebpfvm.errors import Fault

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv


# -- objects ---------------------------------------------------------------------------------------------------------


def _new(env: CallEnv, type_id: int) -> int:
    btf = env.prog.program.btf
    if btf is None:
        raise Fault("memory", "bpf_obj_new needs the program's BTF")
    graph = env.kernel.graph
    return graph.maker(graph.type_of(btf, type_id))().ptr


def _drop(env: CallEnv, address: int) -> int:
    env.refs.release(env.kernel.graph.object(address))
    return 0


def _acquire(env: CallEnv, address: int) -> int:
    held = env.kernel.graph.object(address)
    if not held.refs:
        return 0
    env.refs.acquire(held)
    return address


@kfunc("void *bpf_obj_new_impl(u64 local_type_id__k, void *meta__ign)", "acquire", "ret_null", role="obj_new")
def bpf_obj_new_impl(env: CallEnv, local_type_id__k: int, meta__ign: int) -> int:
    """Return a new object of one of the program's own structs, filled with zeros."""
    return _new(env, local_type_id__k)


@kfunc("void bpf_obj_drop_impl(void *p__alloc, void *meta__ign)", "release", role="obj_drop")
def bpf_obj_drop_impl(env: CallEnv, p__alloc: int, meta__ign: int) -> int:
    """Release an object; the last release frees it with everything that it owns."""
    return _drop(env, p__alloc)


@kfunc("void *bpf_percpu_obj_new_impl(u64 local_type_id__k, void *meta__ign)", "acquire", "ret_null",
       role="percpu_obj_new")
def bpf_percpu_obj_new_impl(env: CallEnv, local_type_id__k: int, meta__ign: int) -> int:
    """Return a new object with one copy per CPU; there is one CPU."""
    return _new(env, local_type_id__k)


@kfunc("void bpf_percpu_obj_drop_impl(void *p__alloc, void *meta__ign)", "release", role="percpu_obj_drop")
def bpf_percpu_obj_drop_impl(env: CallEnv, p__alloc: int, meta__ign: int) -> int:
    """Release a per-CPU object."""
    return _drop(env, p__alloc)


@kfunc("void *bpf_refcount_acquire_impl(void *p__refcounted_kptr, void *meta__ign)", "acquire", "ret_null", "rcu",
       role="refcount_acquire", in_lock=True)
def bpf_refcount_acquire_impl(env: CallEnv, p__refcounted_kptr: int, meta__ign: int) -> int:
    """Acquire another reference to an object with a bpf_refcount; return NULL if it is being freed."""
    return _acquire(env, p__refcounted_kptr)


@kfunc("void *bpf_obj_new(u64 local_type_id__k)", "acquire", "ret_null", role="obj_new")
def bpf_obj_new(env: CallEnv, local_type_id__k: int) -> int:
    """Return a new object, as bpf_obj_new_impl does (since 7.2)."""
    return _new(env, local_type_id__k)


@kfunc("void bpf_obj_drop(void *p__alloc)", "release", role="obj_drop")
def bpf_obj_drop(env: CallEnv, p__alloc: int) -> int:
    """Release an object, as bpf_obj_drop_impl does (since 7.2)."""
    return _drop(env, p__alloc)


@kfunc("void *bpf_percpu_obj_new(u64 local_type_id__k)", "acquire", "ret_null", role="percpu_obj_new")
def bpf_percpu_obj_new(env: CallEnv, local_type_id__k: int) -> int:
    """Return a new per-CPU object, as bpf_percpu_obj_new_impl does (since 7.2)."""
    return _new(env, local_type_id__k)


@kfunc("void bpf_percpu_obj_drop(void *p__alloc)", "release", role="percpu_obj_drop")
def bpf_percpu_obj_drop(env: CallEnv, p__alloc: int) -> int:
    """Release a per-CPU object, as bpf_percpu_obj_drop_impl does (since 7.2)."""
    return _drop(env, p__alloc)


@kfunc("void *bpf_refcount_acquire(void *p__refcounted_kptr)", "acquire", "ret_null", "rcu",
       role="refcount_acquire", in_lock=True)
def bpf_refcount_acquire(env: CallEnv, p__refcounted_kptr: int) -> int:
    """Acquire another reference, as bpf_refcount_acquire_impl does (since 7.2)."""
    return _acquire(env, p__refcounted_kptr)
