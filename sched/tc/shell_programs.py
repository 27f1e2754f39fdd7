"""What scripts call besides `tc`, `ip` and `bpftool`: modprobe, ifconfig and ethtool, as far as it concerns devices.

>>> from ebpfvm.sched.tc.lexer import Word
>>> words = [Word(text, 1, 1) for text in "ifconfig eth0 up txqueuelen 50".split()]
>>> [" ".join(word.text for word in command) for command in program_commands(words)]
['ip link set dev eth0 up txqueuelen 50']
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ebpfvm.sched.tc.lexer import ScriptError, Word

if TYPE_CHECKING:
    from collections.abc import Iterator

_MODULES: Final = re.compile(r"(?:sch|cls|act|em)_\w+", re.ASCII)
_IFBS: Final = 2  # the module ifb makes ifb0 and ifb1


def program_commands(words: list[Word], source: str = "") -> Iterator[list[Word]]:
    """Yield the commands of `ip` that a command stands for, which may be none; any other command is left as it is.

    Raises:
        ScriptError: a word means something that has no counterpart here.
    """
    name = words[0].text
    if name == "modprobe":
        yield from _loaded(words[0], [word for word in words[1:] if not word.text.startswith("-")], source)
    elif name == "ifconfig" and len(words) > 1:
        yield _configured(words, source)
    elif name == "ethtool":
        _check_features(words, source)
    else:
        yield words


def _loaded(first: Word, rest: list[Word], source: str) -> Iterator[list[Word]]:
    """Yield what stands for loading a module: the devices of ifb; nothing for qdiscs, filters and actions."""
    if not rest:
        raise ScriptError("modprobe: a module is missing: ifb, or one of tc, as in sch_htb", first, source)
    name = rest[0]
    if name.text == "ifb":
        settings = dict(word.text.split("=", 1) for word in rest[1:] if "=" in word.text)
        count = settings.get("numifbs", str(_IFBS))
        if not count.isdecimal() or int(count) > 64:
            raise ScriptError(f"numifbs={count}: expected a number up to 64", name, source)
        for number in range(int(count)):
            text = f"ip link add ifb{number} type ifb"
            yield [first._replace(text=word) for word in text.split()]
    elif not _MODULES.fullmatch(name.text):
        raise ScriptError(f"modprobe {name.text}: expected ifb, or a module of tc, as in sch_htb", name, source)


def _configured(words: list[Word], source: str) -> list[Word]:
    """Return the command of `ip` for `ifconfig DEV [up|down] [mtu N] [txqueuelen N]`."""
    rest = iter(words[2:])
    for word in rest:
        if word.text in ("mtu", "txqueuelen"):
            if next(rest, None) is None:
                raise ScriptError(f"ifconfig: a number is missing after {word.text!r}", word, source)
        elif word.text not in ("up", "down"):
            raise ScriptError(f"ifconfig: {word.text!r} is not supported by ebpfvm: expected up, down, mtu N or "
                              "txqueuelen N", word, source)
    return [words[0]._replace(text=text) for text in ("ip", "link", "set", "dev")] + words[1:]


def _check_features(words: list[Word], source: str) -> None:
    """Raise `ScriptError` unless a command is `ethtool -K DEV FEATURE on|off ...`, which changes nothing here."""
    expected = "expected -K DEV FEATURE on|off, which changes nothing, because packets are as the link carries them"
    if len(words) > 1 and words[1].text not in ("-K", "--offload"):
        raise ScriptError(f"ethtool: {words[1].text!r} is not supported by ebpfvm: {expected}", words[1], source)
    pairs = words[3:]
    wrong = next((word for word in pairs[1::2] if word.text not in ("on", "off")), None)
    if wrong is not None:
        raise ScriptError(f"ethtool: unknown value {wrong.text!r}: {expected}", wrong, source)
    if not pairs or len(pairs) % 2:
        raise ScriptError(f"ethtool: a word is missing after {words[-1].text!r}: {expected}", words[-1], source)
