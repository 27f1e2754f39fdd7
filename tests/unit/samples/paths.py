"""Where the samples are."""

from __future__ import annotations

from pathlib import Path

USES = Path(__file__).parents[3] / "samples" / "uses"
