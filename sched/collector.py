"""The garbage collector during a run."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_YOUNG: Final = 50_000


@contextmanager
def rare_collection() -> Iterator[None]:
    """Let Python look for cycles less often in this block.

    Packets, flows and reports form no cycles and many stay for the whole run. Python looks at all that is new after
    each 700 objects and at everything again whenever a quarter has been added, which took a tenth of a run with many
    flows. Cycles that others make, such as regions and their packets, are still collected.
    """
    before = gc.get_threshold()
    if 0 < before[0] < _YOUNG:
        gc.set_threshold(_YOUNG, before[1], before[2])
    try:
        yield
    finally:
        gc.set_threshold(*before)
