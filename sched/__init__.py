"""The packet scheduler of the emulated kernel: qdiscs, filters, devices, traffic and reports."""

from __future__ import annotations

# With a checkout's root on sys.path the name `sched` would mean this folder and not the standard library's
# module. Whoever imports it so gets the real one; this package is only ever `ebpfvm.sched`.
if __name__ == "sched":
    import importlib.util
    import sys
    import sysconfig

    _spec = importlib.util.spec_from_file_location("sched", sysconfig.get_path("stdlib") + "/sched.py")
    assert _spec is not None and _spec.loader is not None
    sys.modules["sched"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["sched"])
