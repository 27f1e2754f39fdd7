"""Control groups by index (kernel/bpf/arraymap.c, Linux 7.2); here, everything runs in the root's."""

from __future__ import annotations

from ebpfvm.contract.maptype import MapType, no_btf
from ebpfvm.maps.array import descriptors_check
from ebpfvm.maps.fd_array import FdArray


class CgroupArray(FdArray):
    """BPF_MAP_TYPE_CGROUP_ARRAY; `put` takes any object that represents a control group."""


CGROUP_ARRAY = MapType("cgroup_array", CgroupArray, frozenset({"bpf_skb_under_cgroup",
                                                               "bpf_current_task_under_cgroup"}),
                       check=descriptors_check, check_btf=no_btf, takes_btf=False,
                       kernel_struct="bpf_array",
                       doc="Control groups by index.")
CgroupArray.type = CGROUP_ARRAY
