"""Results of runs: a SQLite file for each run, its exports, and reports of one run or several side by side.

`schema` says what a file holds, and `results_file` writes one while a run goes on.
"""
