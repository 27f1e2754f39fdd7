"""The reasons why helpers and kfuncs that the verifier knows have no run time, for messages before a run."""

from __future__ import annotations

import re
from typing import Final

# The first pattern that matches a name gives the reason.
_REASONS: Final[tuple[tuple[str, str], ...]] = (
    (r"copy_from_user|probe_read_user|probe_write_user|user_key", "there is no memory of a user process"),
    (r"snprintf_btf|seq_printf|seq_write|kallsyms|find_by_name_kind", "there are no types of a kernel to print"),
    (r"cast_to_kern_ctx|get_current_task_btf|skc_to|sock_from_file",
     "the kernel's own structures are not there to be read"),
    (r"get_stack|branch|perf_prog|func_ip|func_arg|func_ret|attach_cookie|override_return|task_pt_regs|find_vma",
     "nothing is traced"),
    (r"send_signal|task_work|task_storage|task|vma|css|kmem|dmabuf|inode|key_put|system_key",
     "there are no processes or files"),
    (r"lwt_|seg6|xfrm", "no route or tunnel of a kernel is there to be changed"),
    (r"_ct_", "no connection is tracked"),
    (r"crypto", "there are no ciphers"),
    (r"arena", "arenas have no run time"),
    (r"msg_|sk_redirect|sock_ops|hdr_opt|sockopt|_bind|sk_select|sock_map|sock_hash|tcp_send_ack|reqsk|congestion",
     "there are no connections"),
    (r"cgroup|cgrp|sysctl|local_storage", "there are no control groups"),
    (r"sk_storage", "sockets have no storage"),
    (r"sys_bpf|sys_close", "programs cannot make system calls"),
    (r"qdisc", "a queueing discipline of struct_ops is not run"),
)


def why_not(name: str) -> str:
    """Return why a function has no run time, as the end of a sentence."""
    return next((reason for pattern, reason in _REASONS if re.search(pattern, name)), "it has no run time yet")
