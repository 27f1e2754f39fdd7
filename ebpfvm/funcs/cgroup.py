"""Helpers for control groups and system control (kernel/bpf/{cgroup,helpers}.c, net/core/filter.c, Linux 7.2).

Simulated packets belong to no control group: ids are 0, as a kernel returns for a packet without a full socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.contract import contract_only, helper
from ebpfvm.contract.args import Anything, BtfSockCommon, ConstSize, Ctx, Integer, MapPtr, Mem, Skb, UninitMem
from ebpfvm.errnos import E2BIG, EAGAIN, ENOENT
from ebpfvm.funcs.map_kind import taken_by
from ebpfvm.ints import U32_MAX, s32

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv

_ROOT_CGROUP_ID = 1


@helper()
def bpf_get_cgroup_classid(env: CallEnv, skb: Skb) -> Integer:
    """Return the net_cls class id of the task that sent the packet: 0, as there is none."""
    return 0


@helper(cap="bpf")
def bpf_get_cgroup_classid__curr(env: CallEnv) -> Integer:
    """Return the net_cls class id of the current task: 0."""
    return 0


@helper()
def bpf_skb_cgroup_classid(env: CallEnv, skb: Skb) -> Integer:
    """Return the net_cls class id of the packet's socket: 0, as there is none."""
    return 0


@helper()
def bpf_skb_cgroup_id(env: CallEnv, skb: Skb) -> Integer:
    """Return the control group id of the packet's socket: 1, that of the root; 0 if it has no socket."""
    return _socket_cgroup(env, skb.sk)


@helper()
def bpf_skb_ancestor_cgroup_id(env: CallEnv, skb: Skb, ancestor_level: Anything) -> Integer:
    """Return the id of an ancestor of the packet's control group: the root's at level 0, otherwise 0."""
    return 0 if ancestor_level & U32_MAX else _socket_cgroup(env, skb.sk)


@helper()
def bpf_skb_under_cgroup(env: CallEnv, skb: Skb, map: MapPtr, index: Anything) -> Integer:
    """Return whether the packet's socket is below a control group of the array; -ENOENT if it has no full socket.

    Return -E2BIG beyond the array's end, and -EAGAIN for an empty slot. The socket is in the root's control group, so
    it is below no other (0).
    """
    sock = env.kernel.sockets.find(skb.sk)
    if sock is None or not sock.full:
        return -ENOENT
    return _slot(map, index, "bpf_skb_under_cgroup")


def _slot(map: Any, index: int, helper: str) -> int:
    """Return 0 if the slot holds a control group, otherwise a negative errno."""
    index &= U32_MAX
    if index >= taken_by(map, helper).max_entries:
        return -E2BIG
    return -EAGAIN if index not in map.slots else 0


@helper(cap="bpf")
def bpf_get_current_cgroup_id(env: CallEnv) -> Integer:
    """Return the control group of the current task: 1, the root."""
    return _ROOT_CGROUP_ID


@helper(cap="bpf")
def bpf_get_current_ancestor_cgroup_id(env: CallEnv, ancestor_level: Anything) -> Integer:
    """Return an ancestor of the current task's control group: the root at level 0, otherwise 0."""
    return 0 if ancestor_level & U32_MAX else _ROOT_CGROUP_ID



@helper(cap="bpf")
def bpf_current_task_under_cgroup(env: CallEnv, map: MapPtr, index: Anything) -> Integer:
    """Return whether the current task is below a control group of the array.

    Return -E2BIG beyond the array's end, and -EAGAIN for an empty slot. The task is in the root's control group, so it
    is below no other (0).
    """
    return _slot(map, index, "bpf_current_task_under_cgroup")


def _socket_cgroup(env: CallEnv, sk: int) -> int:
    return _ROOT_CGROUP_ID if env.kernel.sockets.find(sk) is not None else 0


@helper()
def bpf_sk_cgroup_id(env: CallEnv, sk: BtfSockCommon) -> Integer:
    """Return the control group id of a socket: 1, the root's; 0 for NULL."""
    return _socket_cgroup(env, sk)


@helper()
def bpf_sk_ancestor_cgroup_id(env: CallEnv, sk: BtfSockCommon, ancestor_level: Anything) -> Integer:
    """Return the id of an ancestor of a socket's control group: the root's at level 0, otherwise 0."""
    return 0 if ancestor_level & U32_MAX else _socket_cgroup(env, sk)


@helper()
def bpf_get_retval(env: CallEnv) -> Integer:
    """Return what the system call will return, as programs of the control group have set it; initially 0."""
    return env.kernel.cgroup_retval


@helper()
def bpf_set_retval(env: CallEnv, retval: Anything) -> Integer:
    """Set what the system call will return."""
    env.kernel.cgroup_retval = s32(retval)
    return 0


bpf_sysctl_get_name = contract_only("bpf_sysctl_get_name", Ctx, UninitMem, ConstSize, Anything, ret=Integer)
bpf_sysctl_get_current_value = contract_only("bpf_sysctl_get_current_value", Ctx, UninitMem, ConstSize, ret=Integer)
bpf_sysctl_get_new_value = contract_only("bpf_sysctl_get_new_value", Ctx, UninitMem, ConstSize, ret=Integer)
bpf_sysctl_set_new_value = contract_only("bpf_sysctl_set_new_value", Ctx, Mem, ConstSize, ret=Integer)
