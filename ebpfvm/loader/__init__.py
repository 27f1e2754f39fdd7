"""Read object files: from ELF bytes to an `Object`, which is pure data that no dialect has interpreted yet.

`load` reads a file; `Object`, `Program`, `MapSpec` and their parts are what it returns. Nothing here depends on a
kernel: program types, map types and kfuncs stay names and raw numbers, so that one object can be verified under several
dialects. `ebpfvm.loading` prepares its programs for one of them.
"""

from __future__ import annotations

from ebpfvm.loader.object import CoreRelo, FuncInfo, LineInfo, MapSpec, Object, Program, StructOps
from ebpfvm.loader.open import load

__all__ = ["CoreRelo", "FuncInfo", "LineInfo", "MapSpec", "Object", "Program", "StructOps", "load"]
