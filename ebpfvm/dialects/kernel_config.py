"""The configuration that programs can read with `__kconfig`: that of a typical amd64 kernel.

libbpf itself provides the names that begin with LINUX_ (bpf_object__resolve_externs, tools/lib/bpf/libbpf.c, Linux
7.2). The others come from the kernel's configuration file; the table has those that networking programs read. An
option that is not set has no row.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_SET: Final = """
64BIT X86 X86_64 SMP MMU NUMA MODULES PRINTK BUG KALLSYMS NAMESPACES NET_NS USER_NS PID_NS CGROUPS CGROUP_BPF
CGROUP_PIDS CGROUP_CPUACCT MEMCG SECURITY SWAP BPF BPF_SYSCALL BPF_JIT BPF_JIT_ALWAYS_ON BPF_EVENTS BPF_LSM
BPF_STREAM_PARSER DEBUG_INFO_BTF DEBUG_INFO_BTF_MODULES PERF_EVENTS TRACEPOINTS KPROBES UPROBES FTRACE FUNCTION_TRACER
NET INET IPV6 UNIX IP_MULTICAST NET_SCHED NET_CLS NET_CLS_ACT NET_CLS_BPF NET_ACT_BPF NET_SCH_INGRESS NET_SCH_BPF
NET_INGRESS NET_EGRESS NETFILTER NETFILTER_BPF_LINK NF_CONNTRACK XDP_SOCKETS LWTUNNEL LWTUNNEL_BPF XFRM MPTCP BRIDGE
VLAN_8021Q TUN VETH NET_SOCK_MSG TCP_CONG_CUBIC PREEMPT_DYNAMIC HIGH_RES_TIMERS NO_HZ HZ_250 THREAD_INFO_IN_TASK
ARCH_HAS_SYSCALL_WRAPPER TRANSPARENT_HUGEPAGE
"""
_VALUES: Final[Mapping[str, int | str]] = {
    "CONFIG_HZ": 250, "CONFIG_PGTABLE_LEVELS": 5, "CONFIG_X86_L1_CACHE_SHIFT": 6, "CONFIG_DEFAULT_TCP_CONG": "cubic",
    "CONFIG_DEFAULT_HOSTNAME": "(none)", "CONFIG_LOCALVERSION": "",
    "LINUX_HAS_BPF_COOKIE": 1, "LINUX_HAS_SYSCALL_WRAPPER": 1}


def kernel_config(version: tuple[int, int]) -> Mapping[str, int | str]:
    """Return the values of a version of Linux, by the name of the variable."""
    number = version[0] << 16 | version[1] << 8  # KERNEL_VERSION(), without the number of a stable release
    options = {f"CONFIG_{name}": "y" for name in _SET.split()}
    return MappingProxyType({**options, **_VALUES, "LINUX_KERNEL_VERSION": number})
