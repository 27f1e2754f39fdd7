"""Sweeps: one scenario with many values of its keys and several seeds, each run once, in many processes.

`sweep_points` says which runs there are, `sweep_workers` runs them in local processes or on a Dask cluster,
`sweep_folder` keeps what is finished, and `sweep_summary` puts the repeats of a point together. The
command line is `ebpfvm sweep`.
"""
