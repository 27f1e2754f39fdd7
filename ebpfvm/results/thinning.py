"""Draw less than was recorded, without losing what stands out."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    Points = Sequence[tuple[float, float]]

_BLOCKS: Final = "▁▂▃▄▅▆▇█"


def thinned(points: Points, most: int) -> list[tuple[float, float]]:
    """Return about `most` points, among them the least and the greatest value of each stretch.

    >>> thinned([(0, 1), (1, 9), (2, 5), (3, 4), (4, 3), (5, 2)], 4)
    [(0, 1), (1, 9), (3, 4), (5, 2)]
    """
    if len(points) <= most:
        return list(points)
    stretches = max(1, most // 2)
    bounds = [len(points) * index // stretches for index in range(stretches + 1)]
    found: list[tuple[float, float]] = []
    for first, last in pairwise(bounds):
        part = range(first, last)
        low, high = min(part, key=lambda index: points[index][1]), max(part, key=lambda index: points[index][1])
        found += [points[index] for index in sorted({low, high})]
    return found


def sparkline(points: Points, end: float, width: int = 60) -> str:
    """Return a line of blocks, each as high as the greatest value in its part of the time from 0 to `end`.

    >>> sparkline([(1, 0), (2, 4), (3, 8), (4, 8)], 4, 4)
    '▁▅██'
    """
    if end <= 0 or not points:
        return ""
    heights = [0.0] * width
    before = 0.0
    for (time, value), following in zip(points, [*(time for time, _ in points[1:]), end], strict=True):
        at = min(width - 1, max(0, -int(-time * width // end) - 1))
        heights[at] = max(heights[at], value)
        for gap in range(at + 1, min(width, max(0, -int(-following * width // end) - 1))):
            heights[gap] = max(heights[gap], before if value < before else value)  # nothing has changed
        before = value
    top = max(heights)
    return "".join(_BLOCKS[0] if not top else _BLOCKS[min(7, int(height * 8 / top))] for height in heights)
