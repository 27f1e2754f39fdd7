"""The result of a filter or an action: a verdict and a class.

Source: TC_ACT_*, include/uapi/linux/pkt_cls.h, Linux 7.2.
"""

from __future__ import annotations

from typing import Final

TC_ACT_UNSPEC: Final = -1
TC_ACT_OK: Final = 0
TC_ACT_RECLASSIFY: Final = 1
TC_ACT_SHOT: Final = 2
TC_ACT_PIPE: Final = 3
TC_ACT_STOLEN: Final = 4
TC_ACT_QUEUED: Final = 5
TC_ACT_REPEAT: Final = 6
TC_ACT_REDIRECT: Final = 7
TC_ACT_TRAP: Final = 8
TC_ACT_JUMP: Final = 0x10000000
TC_ACT_GOTO_CHAIN: Final = 0x20000000
TC_ACT_EXT_VAL_MASK: Final = (1 << 28) - 1

VERDICTS: Final = {"ok": TC_ACT_OK, "pass": TC_ACT_OK, "drop": TC_ACT_SHOT, "shot": TC_ACT_SHOT,
                   "reclassify": TC_ACT_RECLASSIFY, "pipe": TC_ACT_PIPE, "continue": TC_ACT_UNSPEC,
                   "trap": TC_ACT_TRAP}
"""The verdicts as they are written in commands."""

CONSUMED: Final = frozenset({TC_ACT_STOLEN, TC_ACT_QUEUED, TC_ACT_TRAP})
"""The action has taken the packet: nobody else may touch it."""

_NAMES: Final = {TC_ACT_UNSPEC: "continue", TC_ACT_OK: "pass", TC_ACT_RECLASSIFY: "reclassify", TC_ACT_SHOT: "drop",
                 TC_ACT_PIPE: "pipe", TC_ACT_STOLEN: "stolen", TC_ACT_TRAP: "trap"}


class TcfResult:
    """The result of a filter (struct tcf_result).

    Attributes:
        classid: class of the match, 0 for none.
    """

    __slots__ = ("classid",)

    def __init__(self) -> None:
        self.classid = 0


def is_goto(verdict: int) -> bool:
    """Return whether the verdict names a chain to continue with."""
    return verdict >= 0 and verdict & ~TC_ACT_EXT_VAL_MASK == TC_ACT_GOTO_CHAIN


def is_jump(verdict: int) -> bool:
    """Return whether the verdict skips actions."""
    return verdict >= 0 and verdict & ~TC_ACT_EXT_VAL_MASK == TC_ACT_JUMP


def verdict_text(verdict: int) -> str:
    """Return a verdict as `tc` writes it: "pass", "drop", "goto chain 3", "jump 2".

    >>> verdict_text(2), verdict_text(0x20000003)
    ('drop', 'goto chain 3')
    """
    if is_goto(verdict):
        return f"goto chain {verdict & TC_ACT_EXT_VAL_MASK}"
    if is_jump(verdict):
        return f"jump {verdict & TC_ACT_EXT_VAL_MASK}"
    return _NAMES.get(verdict, str(verdict))


def verdict_object(verdict: int) -> tuple[tuple[str, object], ...]:
    """Return a verdict as `tc -j` writes it.

    >>> verdict_object(0x20000003)
    (('type', 'goto'), ('chain', 3))
    """
    if is_goto(verdict):
        return ("type", "goto"), ("chain", verdict & TC_ACT_EXT_VAL_MASK)
    if is_jump(verdict):
        return ("type", "jump"), ("jump", verdict & TC_ACT_EXT_VAL_MASK)
    return (("type", verdict_text(verdict)),)
