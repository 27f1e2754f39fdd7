"""Write `ebpfvm/dialects/where_declared.py`: which file of `ebpfvm/funcs` and `maps` declares what.

    python scripts/where_declared.py

Run it after adding, renaming or moving a helper, a kfunc or a map type. Without it everything works as well, but starts
more slowly; a house test compares the file with the declarations.
"""

from __future__ import annotations

import textwrap
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ebpfvm import funcs, maps
from ebpfvm.contract import Helper, Kfunc, MapType
from ebpfvm.dialects.declared import declared, files

PLACE = Path(__file__).resolve().parents[1] / "ebpfvm" / "dialects" / "where_declared.py"
HEAD = '''\
"""Which file declares which helpers, kfuncs and map types, so that a program imports only what it uses.

Written by `python scripts/where_declared.py`; `declared` says how it is used.
"""

from __future__ import annotations

from typing import Final
'''


def rows(package: ModuleType, kind: Any) -> dict[str, list[str]]:
    """Return the names that each file of a package declares."""
    left = declared(package, kind, variants=kind is Helper)
    found: dict[str, list[str]] = {}
    for file in files(package):
        here = vars(import_module(f"{package.__name__}.{file}")).values()
        found[file] = [name for name, item in left.items() if any(item is one for one in here)]
        left = {name: item for name, item in left.items() if name not in found[file]}
    return found


def table(name: str, found: dict[str, list[str]]) -> str:
    """Return an assignment; a file without declarations has an empty row, because its name is known too."""
    lines = [f"\n{name}: Final = {{"]
    for file, names in found.items():
        parts = textwrap.wrap(" ".join(names), 105)
        text = "\n".join(f'        "{part}{" " if at < len(parts) else ""}"' for at, part in enumerate(parts, 1))
        lines.append(f'    "{file}": ' + (f"(\n{text})," if parts else '"",'))
    return "\n".join([*lines, "}\n"])


def written() -> str:
    """Return what the file should contain."""
    return HEAD + "".join(table(name, rows(package, kind)) for name, package, kind in (
        ("HELPERS", funcs, Helper), ("KFUNCS", funcs, Kfunc), ("MAP_TYPES", maps, MapType)))


if __name__ == "__main__":
    PLACE.write_text(written(), encoding="utf-8")
