"""Print the table of planted bugs: which law finds each of them, within how many cases.

example:
  python -m tests.laws.planted 2500
"""

from __future__ import annotations

import sys

from tests.laws.planted.planted_bugs import BUGS
from tests.laws.planted.planting import first_found, planted


def main() -> None:
    """Try the cases 0 to the number on the command line for each bug."""
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 2500
    print("| bug | law | case |\n|---|---|---|")
    for bug in BUGS:
        with planted(bug):
            found = first_found(range(most))
        print(f"| {bug.name} | `{found.law}` | {found.number} |" if found is not None else f"| {bug.name} | - | - |",
              flush=True)


if __name__ == "__main__":
    main()
