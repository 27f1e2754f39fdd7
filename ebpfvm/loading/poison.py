"""Instructions that must not be reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Poison:
    """Why an instruction must not be reached.

    Attributes:
        reason: what is not there, in a sentence.
        modelled: False: the kernel may well have it, but ebpfvm does not know it well enough.
    """

    reason: str
    modelled: bool = True
