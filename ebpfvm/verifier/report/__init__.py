"""The report of a verification: the kernel's log, the abstract state as the log prints it, and the verdict."""
