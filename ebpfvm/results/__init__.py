"""Results of runs: a SQLite file for each run, its exports, and reports of one run or several side by side.

`schema` says what a file holds, `results_file` writes one while a run goes on, and `reading` reads it. `exporting`,
`flent` and `perfetto` convert it; `summary` shows it as text, and `page` and `images` draw what `plots` says.
"""
