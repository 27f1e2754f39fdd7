"""What would this kernel be given? An object's program fitted to the kernel that is to judge and to run it.

`prepare` does everything that depends on the kernel and changes instructions, once: CO-RE relocations with the types
of its version, functions and variables of the kernel by name, its version number and configuration. The verifier and
the engines take what it returns, so that the program judged is the program run (a law in tests/laws compares them).
"""

from __future__ import annotations

from ebpfvm.loading.mapspecs import fit_map
from ebpfvm.loading.prepare import Prepared, notes_of, prepare
from ebpfvm.loading.relocate import relocate

__all__ = ["Prepared", "fit_map", "notes_of", "prepare", "relocate"]
