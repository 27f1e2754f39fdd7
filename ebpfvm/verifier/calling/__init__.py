"""Calls of helpers, kfuncs and functions of the program, and the ends of functions."""
