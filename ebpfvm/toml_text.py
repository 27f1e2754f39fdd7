"""Keys and values of TOML as users write them in settings and read them in messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.lazy_patterns import pattern

if TYPE_CHECKING:
    from ebpfvm.toml_places import Place

_STEP: Final = pattern(r"\.?([A-Za-z0-9_-]+)|\[(\d+)\]")


def key_steps(key: str, word: str) -> Place:
    """Return the path of a setting, whose words are `word`.

    Raises:
        UsageError: the key is none.
    """
    steps: list[str | int] = []
    at = 0
    while at < len(key):
        found = _STEP.match(key, at)
        if found is None or (key[at] == ".") != (at > 0 and found[2] is None):
            raise UsageError(f"--set {word}: {key!r} is no key; expected one as link.rate or traffic[0].n")
        steps.append(found[1] if found[2] is None else int(found[2]))
        at = found.end()
    return tuple(steps)


def toml_value(text: str) -> Any:
    """Return the value that a text is in TOML, for numbers, flags, arrays and tables; otherwise the text."""
    from tomllib import TOMLDecodeError, loads
    try:
        value = loads(f"value = {text}")
    except TOMLDecodeError:
        return text
    found = value["value"]
    return found if len(value) == 1 and isinstance(found, bool | int | float | list | dict | str) else text


def shown_key(place: Place) -> str:
    """Return a path as it is written: `traffic[1].rate`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".")


def as_toml(value: Any) -> str:
    """Return a value in short, as a user knows it."""
    text = (str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else
            "a table" if isinstance(value, dict) else "an array" if isinstance(value, list) else str(value))
    return text if len(text) <= 60 else text[:57] + "..."
