"""Where things stand in a TOML file: the line of each key and each element, which `tomllib` does not tell.

>>> toml_places('rate = 1\\n[[flow]]\\nkind = "cbr"\\nsizes = [1,\\n 2]\\n')
{('rate',): 1, ('flow',): 2, ('flow', 0): 2, ('flow', 0, 'kind'): 3, ('flow', 0, 'sizes'): 4, \
('flow', 0, 'sizes', 0): 4, ('flow', 0, 'sizes', 1): 5}
"""

from __future__ import annotations

from ebpfvm.lazy_patterns import pattern

Place = tuple[str | int, ...]
"""A path: names of tables and keys, and indexes of elements from 0."""

_SPACE = pattern(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = pattern(r'(?s)"""(?:[^\\]|\\.)*?"{3,5}(?!")|\'\'\'.*?\'{3,5}(?!\')|"(?:[^"\\]|\\.)*"|\'[^\']*\'')
_BARE = pattern(r"[A-Za-z0-9_-]+")
_OTHER = pattern(r"[^,\]}\n#]+")


def toml_places(text: str) -> dict[Place, int]:
    """Return the line (from 1) where each key, element and named table of a TOML document begins.

    Args:
        text: a document that `tomllib` accepts.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.places


class _Scanner:
    """Walk over a document. That it is well-formed is known, so nothing is checked."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._line, self._counted = 1, 0  # the line of the place up to which newlines were counted
        self.places: dict[Place, int] = {}
        self._arrays: dict[Place, int] = {}  # arrays of tables, and how many tables each has so far

    def document(self) -> None:
        """Take note of all places."""
        table: Place = ()
        while self._next():
            table = self._header() if self._text[self._at] == "[" else self._pair(table)

    def _next(self) -> str:
        """Skip space and comments, and return the character there; empty at the end."""
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._text[self._at:self._at + 1]

    def _note(self, place: Place) -> None:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        self.places.setdefault(place, self._line)

    def _header(self) -> Place:
        """Pass `[a.b]` or `[[a.b]]`, and return the table that it opens."""
        several = self._text.startswith("[[", self._at)
        begin, self._at = self._at, self._at + 1 + several
        *names, last = self._key()
        end, self._at = self._text.index("]", self._at) + 1 + several, begin
        place: Place = ()
        for name in (*names, last):
            place = (*self._latest(place), name)
            self._note(place)
        if several:
            self._arrays[place] = self._arrays.get(place, 0) + 1
        place = self._latest(place)
        self._note(place)
        self._at = end
        return place

    def _latest(self, place: Place) -> Place:
        """Return the latest table of an array of tables, and any other place as it is."""
        return (*place, self._arrays[place] - 1) if place in self._arrays else place

    def _key(self) -> list[str]:
        """Pass a key, and return its parts."""
        parts = []
        while True:
            self._next()
            if self._text[self._at] in "\"'":
                from tomllib import loads
                quoted = self._string()
                parts.append(str(loads(f"a = {quoted}")["a"]))
            else:
                found = _BARE.match(self._text, self._at)
                assert found is not None
                parts.append(found[0])
                self._at = found.end()
            if self._next() != ".":
                return parts
            self._at += 1

    def _string(self) -> str:
        found = _STRING.match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        return found[0]

    def _pair(self, table: Place) -> Place:
        """Pass `key = value`, and return the table that it belongs to."""
        begin = self._at
        parts = self._key()
        end, self._at = self._at, begin
        place = table
        for part in parts:
            place = (*place, part)
            self._note(place)
        self._at = end + 1  # behind the equals sign
        self._value(place)
        return table

    def _value(self, place: Place) -> None:
        opening = self._next()
        if opening in ("[", "{"):
            self._at += 1
            number = 0
            while (mark := self._next()) not in ("]", "}"):
                if mark == ",":
                    self._at += 1
                elif opening == "{":
                    self._pair(place)
                else:
                    self._note((*place, number))
                    self._value((*place, number))
                    number += 1
            self._at += 1
        elif opening in ("\"", "'"):
            self._string()
        else:
            found = _OTHER.match(self._text, self._at)
            assert found is not None
            self._at = found.end()
