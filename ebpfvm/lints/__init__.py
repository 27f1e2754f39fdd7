"""Find mistakes in queueing disciplines that Linux accepts: programs that leak, crash, or do nothing at run time.

A lint is no verdict. Each has an id, which `ebpfvm doc lints` explains.
"""

from __future__ import annotations

from ebpfvm.lints.lint_rules import LINTS as LINTS
from ebpfvm.lints.lint_rules import Lint as Lint
from ebpfvm.lints.qdisc_lints import lints_of as lints_of
