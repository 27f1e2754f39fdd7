"""Copy the package to a folder, with the verifier's hottest modules compiled by mypyc (needs mypy and a C compiler).

    python scripts/build_fast.py FOLDER
    PYTHONPATH=FOLDER python -m ebpfvm verify prog.o

The copy judges every program as the pure package does. The pure one is the default and the reference: nothing here
changes it, and `pip install ebpfvm` compiles nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What a walk spends its time in. Files with a dataclass are not among them: mypyc gives its own classes to the
# decorator of `ebpfvm.lazy_dataclasses`, which expects the fields' types as text.
MODULES = (
    "explore", "machine/state", "machine/walk", "machine/references",
    "pruning/backtrack", "pruning/cleaning", "pruning/equal", "pruning/kept_states", "pruning/sites",
    "values/alu", "values/branch", "values/pointers", "values/packet_pointers",
    "domain/arc", "domain/bounds", "domain/circular", "domain/circular_alu", "domain/circular_assume",
    "domain/circular_cast", "domain/constant", "domain/memo", "domain/tnum",
    "memory/access", "memory/loads", "memory/regions", "memory/stack", "calling/frames", "calling/helper_calls",
    "passes/cfg", "passes/const_regs", "passes/postorder", "passes/subprogs",
    "liveness/arg_tracks", "liveness/instances", "liveness/live_registers", "liveness/stack_access",
    "liveness/stack_static")


def build(folder: Path) -> None:
    """Write the package with compiled modules to `folder`/ebpfvm, which must not exist."""
    target = folder / "ebpfvm"
    if target.exists():
        raise SystemExit(f"{target} exists already; name another folder, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("maps", "sched"):  # behind links in a checkout
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "ebpfvm", target, dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns("__pycache__", "maps", "sched"))
    paths = [f"ebpfvm/verifier/{module}.py" for module in MODULES]
    code = "from mypyc.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "--config-file", ROOT / "setup.cfg", *paths], cwd=folder,
                          capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}\nmypyc could not compile the modules (see above)")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit((__doc__ or "").strip())
    build(Path(sys.argv[1]))
