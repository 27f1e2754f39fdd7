"""Clocks, processors and random numbers (kernel/bpf/helpers.c, kernel/bpf/core.c, Linux 7.2).

All clocks show simulated time: the kernel's clock starts at 0 when the simulation does. There is one CPU and one
NUMA node, and random numbers come from the simulation's seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract import helper
from ebpfvm.contract.args import CpuNumber, Integer

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv

HZ: Final = 1000
TICK_NS: Final = 1_000_000_000 // HZ
TAI_OFFSET_NS: Final = 37 * 1_000_000_000  # since 2017
INITIAL_JIFFIES: Final = (1 << 32) - 300 * HZ  # include/linux/jiffies.h: wraps five minutes after boot


@helper(tells_time=True)
def bpf_ktime_get_ns(env: CallEnv) -> Integer:
    """Return nanoseconds since boot (CLOCK_MONOTONIC)."""
    return env.kernel.clock


@helper()
def bpf_ktime_get_boot_ns(env: CallEnv) -> Integer:
    """Return nanoseconds since boot, including suspension (CLOCK_BOOTTIME), which never happens here."""
    return env.kernel.clock


@helper()
def bpf_ktime_get_coarse_ns(env: CallEnv) -> Integer:
    """Return nanoseconds since boot as of the last tick (CLOCK_MONOTONIC_COARSE)."""
    return env.kernel.clock // TICK_NS * TICK_NS


@helper()
def bpf_ktime_get_tai_ns(env: CallEnv) -> Integer:
    """Return nanoseconds of CLOCK_TAI: simulated time counts from the epoch, and TAI is 37 s ahead."""
    return env.kernel.clock + TAI_OFFSET_NS


@helper(cap="bpf")
def bpf_jiffies64(env: CallEnv) -> Integer:
    """Return ticks since boot at HZ=1000; like the kernel, they start five minutes before 32 bits wrap."""
    return INITIAL_JIFFIES + env.kernel.clock // TICK_NS


@helper()
def bpf_get_prandom_u32(env: CallEnv) -> Integer:
    """Return a random u32 that follows from the simulation's seed."""
    return env.kernel.random.getrandbits(32)


@helper()
def bpf_get_smp_processor_id(env: CallEnv) -> CpuNumber:
    """Return the CPU: always 0."""
    return 0


@helper()
def bpf_get_numa_node_id(env: CallEnv) -> Integer:
    """Return the NUMA node: always 0."""
    return 0
