"""The kernel's own qdiscs, as children and for comparison: they behave as in Linux 7.2, in our own implementation."""
