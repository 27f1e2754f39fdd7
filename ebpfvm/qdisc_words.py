"""A queueing discipline in one text: `pfifo.o,limit=50`, a script that ends in .tc, or words of `tc qdisc add`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class QdiscWords(NamedTuple):
    """A discipline.

    Attributes:
        object: path of its object; empty if it is none.
        variables: values of the object's variables.
        script: path of a script; empty if it is none.
        tc: words of `tc qdisc add dev eth0 root`; empty if it is an object or a script.
    """

    object: str = ""
    variables: Mapping[str, int] = {}
    script: str = ""
    tc: str = ""

    def options(self, config: Mapping[str, int | str] | None = None) -> dict[str, Any]:
        """Return the options of `Scenario` that choose the discipline.

        Args:
            config: kernel configuration that the object's programs read.

        Raises:
            LoadError: the object cannot be read.
            UsageError: it has no such variable.
        """
        if self.object:
            from ebpfvm.loader.open import load
            from ebpfvm.loader.variables import set_variables
            return {"source": set_variables(load(self.object, config=config), self.variables)}
        if self.script:
            return {"tc": self.script}
        from ebpfvm.sched.tc.script import ScriptFile
        return {"tc": ScriptFile(f"tc qdisc add dev eth0 root {self.tc}\n", ""), "title": self.tc}


def split_qdisc(text: str, folder: str = "") -> QdiscWords:
    """Return the discipline that a text names; relative paths begin in `folder`.

    Raises:
        UsageError: a value of a variable is no number.
    """
    path, _, settings = text.partition(",")
    if path.endswith(".o"):
        from ebpfvm.loader.variables import parse_settings
        return QdiscWords(os.path.join(folder, path), parse_settings(settings.split(",") if settings else ()))
    return QdiscWords(script=os.path.join(folder, text)) if text.endswith(".tc") else QdiscWords(tc=text)
