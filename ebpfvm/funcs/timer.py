"""Timers and spin locks of map values (kernel/bpf/helpers.c, Linux 7.2)."""

from __future__ import annotations

from ebpfvm.contract import contract_only
from ebpfvm.contract.args import Anything, Func, Integer, MapPtr, SpinLock, Timer, Void

bpf_timer_init = contract_only("bpf_timer_init", Timer, MapPtr, Anything, ret=Integer, gpl_only=True, cap="bpf")
bpf_timer_set_callback = contract_only("bpf_timer_set_callback", Timer, Func, ret=Integer, gpl_only=True, cap="bpf")
bpf_timer_start = contract_only("bpf_timer_start", Timer, Anything, Anything, ret=Integer, gpl_only=True, cap="bpf")
bpf_timer_cancel = contract_only("bpf_timer_cancel", Timer, ret=Integer, gpl_only=True, cap="bpf")
bpf_spin_lock = contract_only("bpf_spin_lock", SpinLock, ret=Void, cap="bpf")
bpf_spin_unlock = contract_only("bpf_spin_unlock", SpinLock, ret=Void, cap="bpf")
