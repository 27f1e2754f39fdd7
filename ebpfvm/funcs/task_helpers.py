"""Helpers for the current task, tracing and the system; most have only a contract and no run time.

Sources: kernel/trace/bpf_trace.c, kernel/bpf/{helpers,task_iter,stackmap,syscall}.c, Linux 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.contract import Arg, ArgSpec, contract_only, helper
from ebpfvm.contract.args import (
    Anything,
    ConstSize,
    ConstSizeOrZero,
    Ctx,
    Func,
    Integer,
    Length,
    MapPtr,
    Mem,
    MemOrNull,
    Out64,
    PtRegs,
    StackOrNull,
    Task,
    TrustedTask,
    UninitMem,
    UninitMemOrNull,
    WriteMem,
)
from ebpfvm.errnos import E2BIG, EINVAL, ENOENT
from ebpfvm.funcs.map_kind import taken_by
from ebpfvm.funcs.nofault import clear
from ebpfvm.ints import U32_MAX

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv

_IDLE: Final = b"swapper/0"
_IDLE_TASK: Final = 0xFFFF_FFFF_8200_0000  # address of init_task
_FILE = ArgSpec(Arg.PTR_TO_BTF_ID, btf="file")
_SEQ_FILE = ArgSpec(Arg.PTR_TO_BTF_ID, btf="seq_file")
_LINUX_BINPRM = ArgSpec(Arg.PTR_TO_BTF_ID, btf="linux_binprm")
_PATH = ArgSpec(Arg.PTR_TO_BTF_ID, btf="path")
_INODE = ArgSpec(Arg.PTR_TO_BTF_ID, btf="inode")
_XDP_BUFF = ArgSpec(Arg.PTR_TO_BTF_ID, btf="xdp_buff")
_SK_BUFF = ArgSpec(Arg.PTR_TO_BTF_ID, btf="sk_buff")
_TCP_SOCK = ArgSpec(Arg.PTR_TO_BTF_ID, btf="tcp_sock")

bpf_probe_read = contract_only("bpf_probe_read", UninitMem, ConstSizeOrZero, Anything, ret=Integer, gpl_only=True)
bpf_probe_read_str = contract_only("bpf_probe_read_str", UninitMem, ConstSizeOrZero, Anything, ret=Length,
                                   gpl_only=True)
bpf_probe_read_user = contract_only("bpf_probe_read_user", UninitMem, ConstSizeOrZero, Anything, ret=Integer,
                                    gpl_only=True, cap="perfmon")
bpf_probe_read_user_str = contract_only("bpf_probe_read_user_str", UninitMem, ConstSizeOrZero, Anything,
                                        ret=Length, gpl_only=True, cap="perfmon")
bpf_probe_write_user = contract_only("bpf_probe_write_user", Anything, Mem, ConstSize, ret=Integer, gpl_only=True)
bpf_copy_from_user = contract_only("bpf_copy_from_user", UninitMem, ConstSizeOrZero, Anything, ret=Integer,
                                   might_sleep=True, cap="perfmon")
bpf_copy_from_user_task = contract_only("bpf_copy_from_user_task", UninitMem, ConstSizeOrZero, Anything, Task,
                                        Anything, ret=Integer, gpl_only=True, might_sleep=True, cap="perfmon")


@helper()
def bpf_get_current_pid_tgid(env: CallEnv) -> Integer:
    """Return the current process and thread: 0, because packets are handled while the CPU idles."""
    return 0


@helper()
def bpf_get_current_uid_gid(env: CallEnv) -> Integer:
    """Return group and user of the current process: root."""
    return 0


@helper(cap="perfmon")
def bpf_get_current_comm(env: CallEnv, buf: UninitMem, size_of_buf: ConstSize) -> Integer:
    """Copy the name of the current process, the idle task, padded with zeros."""
    clear(env.memory, buf, size_of_buf)
    env.memory.write(buf, _IDLE[:max(size_of_buf - 1, 0)])
    return 0


@helper()
def bpf_get_ns_current_pid_tgid(env: CallEnv, dev: Anything, ino: Anything, nsdata: UninitMem,
                                size: ConstSize) -> Integer:
    """Zero `nsdata` and return -EINVAL, because no device and inode name a namespace here."""
    clear(env.memory, nsdata, size)
    return -EINVAL


@helper(gpl_only=True, cap="perfmon")
def bpf_get_current_task(env: CallEnv) -> Integer:
    """Return the address of the current task, the idle one, where nothing can be read."""
    return _IDLE_TASK


bpf_get_current_task_btf = contract_only("bpf_get_current_task_btf", ret=TrustedTask, gpl_only=True, cap="perfmon")
bpf_task_pt_regs = contract_only("bpf_task_pt_regs", Task, ret=PtRegs, gpl_only=True, cap="perfmon")
bpf_find_vma = contract_only("bpf_find_vma", Task, Anything, Func, StackOrNull, Anything, ret=Integer,
                             cap="perfmon", callback="sync", context_to=3, role="find_vma")
bpf_send_signal = contract_only("bpf_send_signal", Anything, ret=Integer, cap="perfmon")
bpf_send_signal_thread = contract_only("bpf_send_signal_thread", Anything, ret=Integer, cap="perfmon")

_INDEX_MASK = U32_MAX  # also BPF_F_CURRENT_CPU
_PERF_VALUE_SIZE = 24  # sizeof(struct bpf_perf_event_value)


def _event(map: Any, flags: int, helper: str) -> int:
    """Return 0 if there is an event in the slot that `flags` names, otherwise a negative errno."""
    if flags & ~_INDEX_MASK:
        return -EINVAL
    index = 0 if flags == _INDEX_MASK else flags
    entries: int = taken_by(map, helper).max_entries
    if index >= entries:
        return -E2BIG
    return 0 if index in map.slots else -ENOENT


@helper(gpl_only=True, cap="perfmon")
def bpf_perf_event_read(env: CallEnv, map: MapPtr, flags: Anything) -> Integer:
    """Return an event's counter: 0, as for an event for output.

    -EINVAL for flags, -E2BIG or -ENOENT without an event.
    """
    return _event(map, flags, "bpf_perf_event_read")


@helper(gpl_only=True, cap="perfmon")
def bpf_perf_event_read_value(env: CallEnv, map: MapPtr, flags: Anything, buf: UninitMem,
                              buf_size: ConstSize) -> Integer:
    """Copy an event's counter and times, all 0, to `buf`; return errors as bpf_perf_event_read, with `buf` zeroed."""
    status = _event(map, flags, "bpf_perf_event_read_value") if buf_size == _PERF_VALUE_SIZE else -EINVAL
    clear(env.memory, buf, buf_size)
    return status


bpf_perf_prog_read_value = contract_only("bpf_perf_prog_read_value", Ctx, UninitMem, ConstSize, ret=Integer,
                                         gpl_only=True)
bpf_read_branch_records = contract_only("bpf_read_branch_records", Ctx, UninitMemOrNull, ConstSizeOrZero, Anything,
                                        ret=Integer, gpl_only=True)
bpf_get_branch_snapshot = contract_only("bpf_get_branch_snapshot", UninitMem, ConstSizeOrZero, ret=Integer,
                                        gpl_only=True, cap="perfmon")
bpf_get_stackid = contract_only("bpf_get_stackid", Ctx, MapPtr, Anything, ret=Integer, gpl_only=True)
bpf_get_stack = contract_only("bpf_get_stack", Ctx, UninitMem, ConstSizeOrZero, Anything, ret=Length, gpl_only=True)
bpf_get_task_stack = contract_only("bpf_get_task_stack", Task, UninitMem, ConstSizeOrZero, Anything, ret=Length,
                                   cap="perfmon")
bpf_skb_output = contract_only("bpf_skb_output", _SK_BUFF, MapPtr, Anything, Mem, ConstSizeOrZero, ret=Integer,
                               gpl_only=True)
bpf_xdp_output = contract_only("bpf_xdp_output", _XDP_BUFF, MapPtr, Anything, Mem, ConstSizeOrZero, ret=Integer,
                               gpl_only=True)

bpf_override_return = contract_only("bpf_override_return", Ctx, Anything, ret=Integer, gpl_only=True)
bpf_get_func_ip = contract_only("bpf_get_func_ip", Ctx, ret=Integer, gpl_only=True, needs_function=True)
bpf_get_attach_cookie = contract_only("bpf_get_attach_cookie", Ctx, ret=Integer)
bpf_get_func_arg = contract_only("bpf_get_func_arg", Ctx, Anything, Out64, ret=Integer)
bpf_get_func_ret = contract_only("bpf_get_func_ret", Ctx, Out64, ret=Integer)
bpf_get_func_arg_cnt = contract_only("bpf_get_func_arg_cnt", Ctx, ret=Integer)

bpf_seq_printf = contract_only("bpf_seq_printf", _SEQ_FILE, Mem, ConstSize, MemOrNull, ConstSizeOrZero, ret=Integer,
                               gpl_only=True)
bpf_seq_write = contract_only("bpf_seq_write", _SEQ_FILE, Mem, ConstSizeOrZero, ret=Integer, gpl_only=True)
bpf_seq_printf_btf = contract_only("bpf_seq_printf_btf", _SEQ_FILE, Mem, ConstSizeOrZero, Anything, ret=Integer,
                                   gpl_only=True)
bpf_snprintf_btf = contract_only("bpf_snprintf_btf", WriteMem, ConstSize, Mem, ConstSize, Anything, ret=Integer,
                                 cap="perfmon")
bpf_d_path = contract_only("bpf_d_path", _PATH, WriteMem, ConstSizeOrZero, ret=Integer)

bpf_bprm_opts_set = contract_only("bpf_bprm_opts_set", _LINUX_BINPRM, Anything, ret=Integer)
bpf_ima_inode_hash = contract_only("bpf_ima_inode_hash", _INODE, UninitMem, ConstSize, ret=Integer,
                                   might_sleep=True)
bpf_ima_file_hash = contract_only("bpf_ima_file_hash", _FILE, UninitMem, ConstSize, ret=Integer, might_sleep=True)

bpf_sys_bpf = contract_only("bpf_sys_bpf", Anything, Mem, ConstSize, ret=Integer, modelled=False)
bpf_sys_close = contract_only("bpf_sys_close", Anything, ret=Integer)
bpf_btf_find_by_name_kind = contract_only("bpf_btf_find_by_name_kind", Mem, ConstSize, Anything, Anything,
                                          ret=Integer)
bpf_kallsyms_lookup_name = contract_only("bpf_kallsyms_lookup_name", Mem, ConstSizeOrZero, Anything, Out64,
                                         ret=Integer)

bpf_rc_repeat = contract_only("bpf_rc_repeat", Ctx, ret=Integer, gpl_only=True)
bpf_rc_keydown = contract_only("bpf_rc_keydown", Ctx, Anything, Anything, Anything, ret=Integer, gpl_only=True)
bpf_rc_pointer_rel = contract_only("bpf_rc_pointer_rel", Ctx, Anything, Anything, ret=Integer, gpl_only=True)
bpf_tcp_send_ack = contract_only("bpf_tcp_send_ack", _TCP_SOCK, Anything, ret=Integer)

