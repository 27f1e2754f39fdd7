"""Values that belong to a socket, inode, task or control group.

Sources: kernel/bpf/bpf_{local,inode,task,cgrp}_storage.c, net/core/bpf_sk_storage.c, kernel/bpf/local_storage.c, Linux
7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import contract_only, helper
from ebpfvm.contract.args import (
    Anything,
    BtfSockCommon,
    CgroupOrNull,
    Ctx,
    InodeOrNull,
    Integer,
    MapPtr,
    MapValueOrNull,
    RetMapValue,
    StorageValueOrNull,
    TaskOrNull,
)
from ebpfvm.funcs.map_kind import taken_by

if TYPE_CHECKING:
    from typing import Any

    from ebpfvm.kernel import CallEnv


def _get(map: Any, owner: int, value: bytes, flags: int) -> int:
    found: int = map.get(owner, value, flags)
    return found


def _delete(map: Any, owner: int) -> int:
    status: int = map.remove(owner)
    return status


@helper()
def bpf_sk_storage_get(env: CallEnv, map: MapPtr, sk: BtfSockCommon, value: StorageValueOrNull,
                       flags: Anything) -> MapValueOrNull:
    """Return the address of the value that belongs to socket `sk`; NULL if there is none.

    With BPF_SK_STORAGE_GET_F_CREATE (1), a missing value is created from `value`, or zeros. Return NULL for other
    flags.
    """
    return _get(taken_by(map, "bpf_sk_storage_get"), sk, value, flags)


@helper()
def bpf_sk_storage_delete(env: CallEnv, map: MapPtr, sk: BtfSockCommon) -> Integer:
    """Remove the value that belongs to socket `sk`; return 0, -EINVAL for NULL, or -ENOENT without a value."""
    return _delete(taken_by(map, "bpf_sk_storage_delete"), sk)


@helper(cap="bpf")
def bpf_task_storage_get(env: CallEnv, map: MapPtr, task: TaskOrNull, value: StorageValueOrNull,
                         flags: Anything) -> MapValueOrNull:
    """Return the address of the value that belongs to a task, as bpf_sk_storage_get does."""
    return _get(taken_by(map, "bpf_task_storage_get"), task, value, flags)


@helper(cap="bpf")
def bpf_task_storage_delete(env: CallEnv, map: MapPtr, task: TaskOrNull) -> Integer:
    """Remove the value that belongs to a task; return 0, -EINVAL for NULL, or -ENOENT without a value."""
    return _delete(taken_by(map, "bpf_task_storage_delete"), task)


@helper()
def bpf_inode_storage_get(env: CallEnv, map: MapPtr, inode: InodeOrNull, value: StorageValueOrNull,
                          flags: Anything) -> MapValueOrNull:
    """Return the address of the value that belongs to an inode, as bpf_sk_storage_get does."""
    return _get(taken_by(map, "bpf_inode_storage_get"), inode, value, flags)


@helper()
def bpf_inode_storage_delete(env: CallEnv, map: MapPtr, inode: InodeOrNull) -> Integer:
    """Remove the value that belongs to an inode; return 0, -EINVAL for NULL, or -ENOENT without a value."""
    return _delete(taken_by(map, "bpf_inode_storage_delete"), inode)


@helper(cap="bpf")
def bpf_cgrp_storage_get(env: CallEnv, map: MapPtr, cgroup: CgroupOrNull, value: StorageValueOrNull,
                         flags: Anything) -> MapValueOrNull:
    """Return the address of the value that belongs to a control group, as bpf_sk_storage_get does."""
    return _get(taken_by(map, "bpf_cgrp_storage_get"), cgroup, value, flags)


@helper(cap="bpf")
def bpf_cgrp_storage_delete(env: CallEnv, map: MapPtr, cgroup: CgroupOrNull) -> Integer:
    """Remove the value that belongs to a control group; return 0, -EINVAL for NULL, or -ENOENT without a value."""
    return _delete(taken_by(map, "bpf_cgrp_storage_delete"), cgroup)


@helper(role="local_storage")
def bpf_get_local_storage(env: CallEnv, map: MapPtr, flags: Anything) -> RetMapValue:
    """Return the address of the value that belongs to the control group and the running program, never NULL."""
    found: int = taken_by(map, "bpf_get_local_storage").storage()
    return found


bpf_sk_storage_get__ctx = contract_only("bpf_sk_storage_get", MapPtr, Ctx, StorageValueOrNull, Anything,
                                        ret=MapValueOrNull)
