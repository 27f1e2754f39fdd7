"""Helpers and kfuncs, by theme; one object per function: contract, run time and documentation in one place.

Nothing is registered here. A dialect lists what it offers (`ebpfvm.dialects`). Functions whose name and contract are
known but that do nothing here (`contract_only`) stand at the end of their theme's module: the verifier judges calls
of them with the right message, running one is a "not supported by ebpfvm" fault.

A helper that some program types have under the same name with another contract is called `name__variant` in Python.
"""
