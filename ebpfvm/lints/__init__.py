"""Find mistakes in queueing disciplines that Linux accepts: programs that leak, crash, or do nothing at run time.

A lint is no verdict. Each has an id, which `ebpfvm doc lints` explains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.lints.lint_rules import LINTS as LINTS
from ebpfvm.lints.lint_rules import Lint as Lint
from ebpfvm.loading.missing_structs import missing_structs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.loader.object import Object
    from ebpfvm.verifier import Verdict


def lints_of(found: Object, verdicts: Mapping[str, Verdict]) -> list[Lint]:
    """Return the lints of an object, in the order of its variables and members.

    Args:
        verdicts: program -> verdict; members whose program is missing or rejected are not examined.
    """
    lints = [Lint("missing-struct", "", text) for text in missing_structs(found)]
    disciplines = [variable for variable in found.struct_ops if variable.struct.partition("___")[0] == "Qdisc_ops"]
    if disciplines:  # the import takes as long as judging a small program
        from ebpfvm.lints.qdisc_lints import discipline_lints
        for variable in disciplines:
            lints += discipline_lints(variable, verdicts)
    return list(dict.fromkeys(lints))
