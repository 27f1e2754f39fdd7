"""Graphs as SVG: by Graphviz's `dot` if that is installed, otherwise in rows, which needs nothing."""

from __future__ import annotations

import subprocess
from shutil import which
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from ebpfvm.cli.graph_texts import dot_text

if TYPE_CHECKING:
    from ebpfvm.cli.graph_texts import Box, Drawing

_CHAR, _LINE, _PAD, _GAP, _ROW = 7, 14, 8, 24, 48  # of a character, a line, a box, and between boxes and rows
_SECONDS: Final = 60
_HALO: Final = 'style="paint-order:stroke;stroke:white;stroke-width:4px"'  # keeps text on a line readable
_STYLE: Final = "font-family:monospace;font-size:11px;white-space:pre"


def svg_text(graph: Drawing) -> str:
    """Return a graph as SVG."""
    program = which("dot")
    if program is not None:
        try:
            done = subprocess.run([program, "-Tsvg"], input=dot_text(graph), capture_output=True, text=True,
                                  timeout=_SECONDS, check=False)
            if done.returncode == 0:
                return done.stdout
        except (OSError, subprocess.TimeoutExpired):
            pass  # too large for it, or it is broken: the rows are always there
    return in_rows(graph)


def in_rows(graph: Drawing) -> str:
    """Return a graph as SVG, each box in the row below the first box that leads to it."""
    rows = _rows(graph)
    places: dict[str, tuple[int, int, int, int]] = {}
    y, widest = 30, 200
    for row in rows:
        x = _GAP
        for box in row:
            wide, tall = _size(box)
            places[box.name] = x, y, wide, tall
            x += wide + _GAP
        widest = max(widest, x)
        y += max(places[box.name][3] for box in row) + _ROW
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{widest}" height="{y}" '
             f'viewBox="0 0 {widest} {y}" style="{_STYLE}">',
             '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
             '<path d="M0 0L8 4L0 8z"/></marker></defs>',
             f"<title>{escape(graph.title)}</title>", f'<text x="{_GAP}" y="18">{escape(graph.title)}</text>']
    arrows = [_line(places[arrow.tail], places[arrow.head], arrow.label, arrow.dashed) for arrow in graph.arrows]
    lines += [way for way, _ in arrows]  # behind the boxes, whose text must stay readable
    lines += [line for box in graph.boxes for line in _drawn(box, places[box.name])]
    return "\n".join([*lines, *(text for _, text in arrows if text), "</svg>", ""])


def _rows(graph: Drawing) -> list[list[Box]]:
    """Return the boxes by their distance from a box that nothing leads to."""
    after: dict[str, list[str]] = {}
    for arrow in graph.arrows:
        after.setdefault(arrow.tail, []).append(arrow.head)
    heads = {arrow.head for arrow in graph.arrows if arrow.head != arrow.tail}
    depth: dict[str, int] = {}
    for start in [*(box.name for box in graph.boxes if box.name not in heads), *(box.name for box in graph.boxes)]:
        if start in depth:
            continue
        depth[start] = 0
        waiting = [start]
        for name in waiting:  # grows
            for head in after.get(name, ()):
                if head not in depth:
                    depth[head] = depth[name] + 1
                    waiting.append(head)
    rows: list[list[Box]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for box in graph.boxes:
        rows[depth[box.name]].append(box)
    return rows


def _size(box: Box) -> tuple[int, int]:
    return max(map(len, box.lines), default=0) * _CHAR + 2 * _PAD, len(box.lines) * _LINE + 2 * _PAD


def _drawn(box: Box, place: tuple[int, int, int, int]) -> list[str]:
    x, y, wide, tall = place
    return [f'<rect x="{x}" y="{y}" width="{wide}" height="{tall}" rx="3" fill="{box.colour}" stroke="black"/>',
            *(f'<text x="{x + _PAD}" y="{y + _PAD + _LINE * at + 11}">{escape(_plain(line))}</text>'
              for at, line in enumerate(box.lines))]


def _line(tail: tuple[int, int, int, int], head: tuple[int, int, int, int], label: str,
          dashed: bool) -> tuple[str, str]:
    """Return an arrow and its label: down to a lower row, or around the side of the boxes to one above."""
    x1, y1 = tail[0] + tail[2] // 2, tail[1] + tail[3]
    x2, y2 = head[0] + head[2] // 2, head[1]
    side = max(tail[0] + tail[2], head[0] + head[2]) + _GAP // 2
    if y2 > y1:
        way, middle, below = f"M{x1} {y1}L{x2} {y2}", (x1 + x2) // 2 + 4, (y1 + y2) // 2
    else:  # the label stands where the arrow leaves its row, since its middle is beside, or in, another box
        way = f"M{x1} {y1}L{side} {y1 + 12}L{side} {y2 - 12}L{x2} {y2}"
        middle, below = side - len(label) * _CHAR - 4, y1 + 12
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    text = f'<text x="{middle}" y="{below}" {_HALO}>{escape(label)}</text>' if label else ""
    return f'<path d="{way}" fill="none" stroke="black"{dash} marker-end="url(#a)"/>', text


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
