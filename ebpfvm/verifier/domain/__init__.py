"""The scalar domain: what the verifier knows about a number.

Pure functions on immutable values, with exactly the kernel's bounds, and proved sound: for any members of the operands'
sets, the result of executing the instruction is a member of the returned set (`tests/unit/verifier/domain` tries every
number at a small width, `tests/proofs` asks Z3).

The parts, from the bottom up:

=====================  ==========================================================================================
`width`                the widths 64 and 32, defined once
`tnum`                 known bits: pairs (value, mask)
`num`                  `Num`: known bits and ranges together; `const`, `UNKNOWN`, `contains`
`intervals`            Linux 6.18: four ranges kept in step; with `interval_alu`, `interval_cast`, `interval_assume`
`arc`, `circular`      Linux 7.2: circular ranges kept in step; with `circular_alu`, `divide`, `circular_cast`,
                       `circular_assume`
`outcomes`             which way a jump goes
`arithmetic`           `Arithmetic`: the functions of one kind of numbers, in tables
`links`                registers that hold the same unknown value, or that value plus a constant
`format`               as the kernel's log prints it
=====================  ==========================================================================================

Use:

>>> kernel = arithmetic_of(circular=True)
>>> byte = kernel.cast(UNKNOWN, 8)                          # r1 = *(u8 *)(...)
>>> format_scalar(byte)
'scalar(smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff))'
>>> add = kernel.alu["add", 64]                             # choose once, call often
>>> sum_ = add(byte, const(10))                             # r1 += 10
>>> sum_.umin, sum_.umax
(10, 265)
>>> add(const(2), const(3)) is const(5)
True
>>> outcome = kernel.branch["jlt", 64](sum_, const(16))     # if r1 < 16
>>> outcome.taken, outcome.yes[0].umax, outcome.no[0].umin
(-1, 15, 16)
>>> kernel.branch["jlt", 64](sum_, const(1000)).taken
1
>>> contains(sum_, 12), kernel.within(sum_, const(12)), kernel.within(const(12), sum_)
(True, True, False)
>>> format_scalar(sum_, id=1, precise=True)
'Pscalar(id=1,smin=umin=smin32=umin32=10,smax=umax=smax32=umax32=265,var_off=(0x0; 0x1ff))'
"""

from __future__ import annotations

from ebpfvm.verifier.domain.arithmetic import CIRCLES, INTERVALS, Arithmetic, arithmetic_of
from ebpfvm.verifier.domain.format import format_scalar, ranges, snum, unum
from ebpfvm.verifier.domain.num import UNKNOWN, Num, const, contains, is_broken, unknown
from ebpfvm.verifier.domain.outcomes import Outcome

__all__ = [
    "CIRCLES", "INTERVALS", "UNKNOWN", "Arithmetic", "Num", "Outcome", "arithmetic_of", "const", "contains",
    "format_scalar", "is_broken", "ranges", "snum", "unknown", "unum",
]
