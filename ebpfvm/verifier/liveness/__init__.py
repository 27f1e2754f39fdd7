"""Liveness: which registers and stack slots are read later."""
