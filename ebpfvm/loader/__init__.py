"""What does this file say? ELF bytes to an `Object`: pure data, before any dialect gives its numbers a meaning.

`load` reads a file; `Object`, `Program`, `MapSpec` and their parts are what it returns. Nothing here knows a kernel:
program types, map types and kernel functions stay names and raw numbers, so that one object can be judged under several
dialects; `ebpfvm.loading` fits its programs to one.
"""

from __future__ import annotations

from ebpfvm.loader.object import CoreRelo, FuncInfo, LineInfo, MapSpec, Object, Program, StructOps
from ebpfvm.loader.open import load

__all__ = ["CoreRelo", "FuncInfo", "LineInfo", "MapSpec", "Object", "Program", "StructOps", "load"]
