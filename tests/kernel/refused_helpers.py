"""Which helpers a kernel refuses a process with CAP_BPF and CAP_NET_ADMIN only, as JSON on standard output.

It gives up its other capabilities first, so it is a program of its own: `python -m tests.kernel.refused_helpers`.
"""

from __future__ import annotations

import ctypes
import json
import struct

from ebpfvm.dialects import linux
from ebpfvm.isa.asm import assemble
from ebpfvm.testing import oracle

CAPSET = 126  # x86-64
CAP_NET_ADMIN, CAP_BPF = 12, 39


def keep_only(*capabilities: int) -> None:
    """Give up all other capabilities of this process.

    Raises:
        OSError: the kernel refuses.
    """
    mask = sum(1 << number for number in capabilities)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    head, sets = struct.pack("<Ii", 0x20080522, 0), struct.pack("<6I", low, low, 0, high, high, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(CAPSET, ctypes.c_char_p(head), ctypes.c_char_p(sets)):
        raise OSError(ctypes.get_errno(), "capset")


def refused(kind: str) -> list[str]:
    """Return the helpers that the kernel does not offer to this process in programs of a type."""
    kernel = linux(oracle.kernel_version())
    found = []
    for number, helper in kernel.helpers.items():
        if kernel.helper(number, kernel.prog_type(kind)) is not None:
            said = oracle.load(assemble(f"call {number}; r0 = 0; exit"), oracle.TYPES[kind])
            if f"cannot use helper {helper.name}#{number}" in said.log:
                found.append(helper.name)
    return found


if __name__ == "__main__":
    types = list(oracle.TYPES)
    keep_only(CAP_BPF, CAP_NET_ADMIN)
    print(json.dumps({kind: refused(kind) for kind in types}, indent=1))
