"""Find `ebpfvm.maps` and `ebpfvm.sched` in a checkout that has no symbolic links.

The folders `maps/` and `sched/` stand beside `ebpfvm/`. An installed wheel holds them inside the package,
and a checkout reaches them through the links `ebpfvm/maps` and `ebpfvm/sched`. On a system without
symbolic links, Git writes those links as small text files; then the checkout's root must be searched as well.
"""

from __future__ import annotations

import os.path  # and not pathlib, which takes as long to import as the rest of `import ebpfvm`
from collections.abc import MutableSequence


def extend_search_path(package_path: MutableSequence[str]) -> None:
    """Append the checkout's root to `package_path` if the package's own folder holds no `maps`.

    Does nothing in an installed copy, or in a checkout whose links work.

    Args:
        package_path: the `__path__` of the `ebpfvm` package, changed in place before anything else is imported.
    """
    package = os.path.dirname(os.path.realpath(__file__))
    root = os.path.dirname(package)
    if (not os.path.isdir(os.path.join(package, "maps"))
            and os.path.isfile(os.path.join(root, "maps", "__init__.py"))):
        package_path.append(root)
