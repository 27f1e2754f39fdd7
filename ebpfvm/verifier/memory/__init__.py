"""Loads and stores, by the kind of memory that a pointer refers to."""
