"""Prepare an object's program for the kernel that is to verify and run it.

`prepare` does everything that depends on the kernel and changes instructions, once: it applies CO-RE relocations with
the types of the kernel's version, resolves its functions and variables by name, and fills in its version number and
configuration. The verifier and the engines take what it returns, so that the program verified is the program run (a
law in tests/laws compares them).
"""

from __future__ import annotations

from ebpfvm.loading.mapspecs import fit_map
from ebpfvm.loading.prepare import Prepared, notes_of, prepare

__all__ = ["Prepared", "fit_map", "notes_of", "prepare"]
