"""Helpers and kfuncs, by subject; each function is one object with its contract, its run time and its documentation.

Nothing is registered here. A dialect lists what it offers (`ebpfvm.dialects`). Functions of which only name and
contract are known (`contract_only`) are at the end of their module: the verifier checks calls of them with the right
messages, and running one is a "not supported by ebpfvm" fault.

A helper that some program types have under the same name with another contract is called `name__variant` in Python.
"""
