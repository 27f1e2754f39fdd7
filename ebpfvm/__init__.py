"""ebpfvm: run, verify and understand eBPF queueing disciplines, offline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm._checkout import extend_search_path
from ebpfvm._version import __version__ as __version__
from ebpfvm.errors import EbpfvmError, Fault, LoadError, Rejected, UsageError

# Also public, but not among the fifteen names to learn first.
from ebpfvm.errors import InternalError as InternalError
from ebpfvm.errors import LimitError as LimitError

if TYPE_CHECKING:
    from ebpfvm.api import simulate, verify
    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.limits import Limits
    from ebpfvm.loader.object import MapSpec, Object, Program
    from ebpfvm.loader.open import load
    from ebpfvm.testrun import test_run
    from ebpfvm.verifier import Verdict

extend_search_path(__path__)

__all__ = ["EbpfvmError", "Fault", "Kernel", "Limits", "LoadError", "MapSpec", "Object", "Program",
           "Rejected", "UsageError", "Verdict", "load", "simulate", "test_run", "verify"]

# Importing the modules that define these names takes a tenth of a second, so `import ebpfvm` defers it.
_LAZY = {"Kernel": "ebpfvm.kernel.emulated", "Limits": "ebpfvm.limits", "MapSpec": "ebpfvm.loader.object",
         "Object": "ebpfvm.loader.object", "Program": "ebpfvm.loader.object", "Verdict": "ebpfvm.verifier",
         "load": "ebpfvm.loader.open", "simulate": "ebpfvm.api", "test_run": "ebpfvm.testrun",
         "verify": "ebpfvm.api"}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'ebpfvm' has no attribute {name!r}")
    from importlib import import_module
    value = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
