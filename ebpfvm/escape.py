"""Escape text from untrusted files, so that no name in them can forge lines or move a terminal's cursor."""

from __future__ import annotations


def escape(text: str, keep: str = "\t") -> str:
    r"""Return `text` with every non-printable character written as a backslash escape.

    Args:
        keep: non-printable characters to leave as they are.

    >>> print(escape("a\nb: accepted"), escape("a\u2028b"), escape("x\x1b[2J"))
    a\x0ab: accepted a\u2028b x\x1b[2J
    """
    bare = text
    for char in keep:
        bare = bare.replace(char, "")
    if bare.isprintable():  # a report of 50,000 flows has five million characters, and all of them are
        return text
    return "".join(char if char.isprintable() or char in keep else _escaped(ord(char)) for char in text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def decoded(raw: bytes) -> str:
    """Return a name or a source line in the form in which it is stored and printed: decoded from UTF-8, and escaped."""
    return escape(raw.decode("utf-8", "replace"))
