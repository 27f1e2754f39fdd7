"""May this program run? The kernel's algorithm, told again: kernel/bpf/verifier.c and its neighbours, file by file.

=============================  ====================================================================================
`check`                        `verify`: the passes in their order
`subprogs`, `check_btf`,       before the walk: functions, BTF records, encoding and maps, control flow, what is live
`resolve`, `cfg`, `liveness`
`explore`                      the walk, one step function per instruction
`alu`, `pointers`, `branch`,   what instructions do to values
`packets`, `loads`, `exits`
`access`, `stack`, `regions`,  memory
`btf_access`
`calls`, `args`, `kfuncs`,     calls
`families`, `frames`,
`global_funcs`, `dynptrs`,
`locks`, `refs`
`states`, `equal`,             when two paths are one
`backtrack`
`depth`                        after the walk
`log`, `show`, `explain`       what is said about it
`domain`                       numbers
=============================  ====================================================================================

A check that says no raises `signal.Refuse`, which only `check.verify` catches. What is not modelled is refused with a
message that ends in "not supported by ebpfvm", never let through.
"""

from __future__ import annotations

from ebpfvm.verifier.check import verify
from ebpfvm.verifier.machine.env import Caps
from ebpfvm.verifier.report.verdict import Verdict

__all__ = ["Caps", "Verdict", "verify"]
