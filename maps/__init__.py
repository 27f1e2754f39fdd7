"""Map types: one file is one map type, whole."""
