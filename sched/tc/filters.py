"""The list of the kinds of filters."""

from __future__ import annotations

from typing import Final

from ebpfvm.sched.tc.cls_basic import BASIC, FW, MATCHALL
from ebpfvm.sched.tc.cls_bpf import CLS_BPF
from ebpfvm.sched.tc.cls_flow import FLOW
from ebpfvm.sched.tc.cls_flower import FLOWER
from ebpfvm.sched.tc.cls_u32 import U32_KIND

FILTERS: Final = {kind.name: kind for kind in (BASIC, CLS_BPF, FLOW, FLOWER, FW, MATCHALL, U32_KIND)}
"""Every kind of filter by its name."""
