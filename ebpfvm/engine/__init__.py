"""The engines, which run programs: `Interpreter` for observation, `Translator` for speed.

Both derive what an instruction does from `isa.table`, through `steps`. A program, a map or a qdisc never knows which
engine runs it (`ebpfvm.kernel.program`). The verifier is not imported here, so that what a program does and whether it
may run are determined independently.
"""

from __future__ import annotations

from ebpfvm.engine.interp import Interpreter
from ebpfvm.engine.interp_run import Hooks
from ebpfvm.engine.translate import Translator

__all__ = ["Hooks", "Interpreter", "Translator"]
