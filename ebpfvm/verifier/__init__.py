"""The verifier: the kernel's algorithm, implemented again; kernel/bpf/verifier.c and its neighbours, file by file.

===============  ==================================================================================================
`check`          `verify`: the passes in the kernel's order, and the verdict
`explore`        the walk: the loop over paths and instructions
`calling`        calls: who may call what, arguments and effects, and the ends of functions
`liveness`       which registers and stack slots are still read
`pruning`        whether an already verified state subsumes the current one
`memory`         loads and stores, by the kind of memory that a pointer leads to
`explanation`    why a program was rejected, in plain words
`passes`         the passes before and after the walk: functions, BTF, maps, control flow, constants, stack depth
`values`         what arithmetic and comparisons do to numbers and pointers
`report`         the kernel's log, and the verdict
`machine`        abstract registers, frames and states, and the state of the walk
`domain`         abstract numbers: pure functions, proved sound
===============  ==================================================================================================

Each part imports only from those below it (tests/house/test_layers.py). A check that fails raises
`machine.signal.Refuse`, which only `check.verify` catches. What is not modelled is rejected with a message that ends in
"not supported by ebpfvm", never accepted. docs/explanation/verifier-internals.md is a guide to the code.
"""

from __future__ import annotations

from ebpfvm.verifier.check import verify
from ebpfvm.verifier.machine.env import Caps
from ebpfvm.verifier.report.verdict import Verdict

__all__ = ["Caps", "Verdict", "verify"]
