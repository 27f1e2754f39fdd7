"""Instructions that must not be reached, because the kernel lacks what they refer to."""

from __future__ import annotations

from ebpfvm.lazy_dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Poison:
    """The reason why an instruction must not be reached.

    Attributes:
        reason: what is missing, as a sentence.
        modelled: False if the kernel may have it and only ebpfvm lacks the details.
    """

    reason: str
    modelled: bool = True
