"""The rows of htb: classes of a level or of a parent that can send, in the order of their ids, and whose turn it is."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Any


class HtbRow:
    """Classes in the order of their ids, which take turns.

    Attributes:
        turn: the class whose turn it is, None if that has to be found out.
        after: id of the class whose turn it was when it left the row, 0 if that does not matter.
    """

    __slots__ = ("_ids", "_members", "after", "turn")

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._members: dict[int, Any] = {}
        self.turn: Any = None
        self.after = 0

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, cl: Any) -> None:
        """Add a class."""
        insort(self._ids, cl.classid)
        self._members[cl.classid] = cl

    def _delete(self, cl: Any) -> None:
        del self._ids[bisect_left(self._ids, cl.classid)], self._members[cl.classid]

    def remove(self, cl: Any) -> None:
        """Remove a class; if it is its turn, the next one's comes."""
        if self.turn is cl:
            self.advance()
        self._delete(cl)

    def leave(self, cl: Any) -> None:
        """Remove a class that borrows; if it is its turn, it has it again when it comes back in time."""
        if self.turn is cl:
            self.after, self.turn = cl.classid, None
        self._delete(cl)

    def advance(self) -> None:
        """Let the next class have its turn, none after the last."""
        if self.turn is not None:
            self.turn = self._from(self.turn.classid + 1)

    def _from(self, classid: int) -> Any:
        place = bisect_left(self._ids, classid)
        return self._members[self._ids[place]] if place < len(self._ids) else None

    def leaf(self, prio: int) -> Any:
        """Return the leaf whose turn it is, through the classes that lend (htb_lookup_leaf)."""
        path = [self]
        while True:
            row = path[-1]
            if row.turn is None and row.after:
                row.turn = row._from(row.after)
            row.after = 0
            if row.turn is None:  # at the end of the row: begin again, and let the row above go on
                row.turn = row._from(0)
                if len(path) > 1:
                    path.pop()
                    if path[-1].turn is None:
                        return None
                    path[-1].advance()
                elif row.turn is None:
                    return None
            elif not row.turn.level:
                return row.turn
            else:
                path.append(row.turn.feeds[prio])


class HtbLevel:
    """A level of the tree: its rows by priority, and the classes that wait for tokens.

    Attributes:
        rows: the classes that can send, by priority.
        waiting: the others, by the time at which their mode changes.
        next_event: when the first of these times comes.
    """

    __slots__ = ("next_event", "rows", "waiting")

    def __init__(self, priorities: int) -> None:
        self.rows = [HtbRow() for _ in range(priorities)]
        self.waiting: list[Any] = []
        self.next_event = 0

    def wait(self, cl: Any, now: int, lasts: int) -> None:
        """Add a class whose mode lasts for so many ns."""
        cl.wakes = now + max(lasts, 1)
        self.next_event = min(self.next_event, cl.wakes)
        insort(self.waiting, cl, key=_wakes)

    def forget(self, cl: Any) -> None:
        """Remove a class."""
        self.waiting.remove(cl)


def _wakes(cl: Any) -> int:
    time: int = cl.wakes
    return time
