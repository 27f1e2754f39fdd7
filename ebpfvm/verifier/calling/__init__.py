"""Calls: helpers, kernel functions, functions of the program, and the ends of functions."""
