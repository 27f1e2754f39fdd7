"""Objects that a program allocates, and the lists and trees that hold them (kernel/bpf/helpers.c, Linux 7.2).

The contents of a `bpf_list_head` or `bpf_rb_root` are stored outside of the memory, in the kernel's `Graph`, because
programs cannot look into these fields anyway. A list or tree owns its objects (the ledger names the memory that
contains the head); removing an object hands the reference to the program.

The `_impl` spellings are those of all kernels so far; 7.2 adds the same functions without the suffix, whose hidden last
arguments the verifier fills in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.btf.fields import LOCAL_KINDS, special_fields
from ebpfvm.contract import kfunc
from ebpfvm.errnos import EINVAL
from ebpfvm.errors import Fault
from ebpfvm.kernel.refs import RefCounted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ebpfvm.kernel import CallEnv, Kernel, Region

_ROOTS = ("list_head", "rb_root")
_KPTRS = ("kptr_ref", "kptr_percpu")


class AllocObject(RefCounted):
    """An object of bpf_obj_new.

    Attributes:
        region: its memory.
        fields: its special fields.
    """

    what = "object"

    def __init__(self, kernel: Kernel, struct: str, size: int, fields: tuple[Any, ...]) -> None:
        self.kernel = kernel
        self.struct = struct
        self.fields = fields
        self.region = kernel.memory.add("mem", bytearray(size), name=f"object {struct}", owner=self)

    def destroy(self) -> None:
        """Free what the object's fields own; its memory lives until the program ends (RCU)."""
        memory, refs = self.kernel.memory, self.kernel.refs
        for field in self.fields:
            if field.kind in _KPTRS:
                held = memory.region(int.from_bytes(self.region.data[field.offset:field.offset + 8], "little")).owner \
                    if any(self.region.data[field.offset:field.offset + 8]) else None
                self.region.data[field.offset:field.offset + 8] = bytes(8)
                if isinstance(held, RefCounted):
                    refs.release(held, self.region.name)
        graph_of(self.kernel).drain(self.region, self.fields)
        memory.retire(self.region)

    def __str__(self) -> str:
        return f"object {self.struct} #{self.serial}"


class Graph:
    """All lists and trees of a kernel.

    Attributes:
        members: address of a list head or tree root -> addresses of its nodes in order.
        owner: address of a node -> address of the head or root that holds it.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.members: dict[int, list[int]] = {}
        self.owner: dict[int, int] = {}

    def object(self, node: int) -> RefCounted:
        """Return the object that contains a node.

        Raises:
            Fault: no object contains it.
        """
        found = self.kernel.memory.region(node).owner
        if not isinstance(found, RefCounted):
            raise Fault("memory", f"{node:#x} is not a node of an allocated object")
        return found

    def insert(self, head: int, node: int, index: int) -> int:
        """Insert a node that the program owns at `index`.

        Return 0, or drop the node and return -EINVAL if it is in use.
        """
        held = self.object(node)
        if node in self.owner:
            self.kernel.refs.release(held)
            return -EINVAL
        self.kernel.refs.give(held, self.kernel.memory.region(head).name)
        self.members.setdefault(head, []).insert(index, node)
        self.owner[node] = head
        return 0

    def take(self, head: int, node: int) -> int:
        """Remove a node, which the program then owns, and return its address."""
        self._unlink(head, node)
        self.kernel.refs.take(self.object(node), self.kernel.memory.region(head).name)
        return node

    def _unlink(self, head: int, node: int) -> None:
        nodes = self.members[head]
        nodes.remove(node)
        if not nodes:
            del self.members[head]
        del self.owner[node]

    def drain(self, region: Region, fields: Iterable[Any]) -> None:
        """Drop everything in the lists and trees of memory that is freed."""
        for field in fields:
            if field.kind in _ROOTS:
                head = region.base + field.offset
                for node in list(self.members.get(head, ())):
                    self._unlink(head, node)
                    self.kernel.refs.release(self.object(node), region.name)

    def nodes(self, head: int) -> list[int]:
        """Return the addresses of the nodes in order."""
        return self.members.get(head, [])


def graph_of(kernel: Kernel) -> Graph:
    """Return the lists and trees of a kernel."""
    found = kernel.extra.get("graph")
    if found is None:
        found = kernel.extra["graph"] = Graph(kernel)
    assert isinstance(found, Graph)
    return found


# -- objects ---------------------------------------------------------------------------------------------------------


def _new(env: CallEnv, type_id: int) -> int:
    btf = env.prog.program.btf
    if btf is None:
        raise Fault("memory", "bpf_obj_new needs the program's BTF")
    root = btf.resolve(type_id)
    made = AllocObject(env.kernel, btf[root].name, btf.size_of(root), special_fields(btf, root, LOCAL_KINDS))
    env.refs.add(made)
    return made.region.base


def _drop(env: CallEnv, address: int) -> int:
    env.refs.release(graph_of(env.kernel).object(address))
    return 0


def _acquire(env: CallEnv, address: int) -> int:
    held = graph_of(env.kernel).object(address)
    if not held.holders:
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
