"""A whole run as one generated function: sources, enqueue program, maps, dequeue program, link and sink.

The function works on the same objects as the pipeline of `Simulation`, `NetDevice` and the qdisc: packets, maps,
references, flows, counters and the event loop. What is frequent is in its code; everything else is a call of the
pipeline's own method, before which the function writes back what it keeps in variables. It may leave at any event and
let the event loop go on, so a run is the same with and without it.

A run goes through these modules: `fusing` decides whether it can be fused, `arrivals` takes the sources from the event
loop, `renamed` and `global_variables` prepare the programs, `glue` (for the RFC's qdisc) and `ops_glue` (for those of
struct_ops) add what qdisc and device do to their blocks. For the RFC's programs `specialised` replaces statements by
what is usual on the way to them (`path_facts`; `reference_steps` and `map_steps` know how, `map_code` has the maps),
and for members `member_form`, `object_calls` and `object_paths` do so (`object_lines`, `object_facts`,
`object_stores`, `object_tidy`). `run_source` writes the function (`ops_source` that for members), with `falling` and
`budget_places`, `fused_run` has what it calls, and `fused_packet` makes the class of its packets. `sender_run` and
`sender_lines` have what runs with senders that react need besides: the function asks a sender for its segments one by
one, because what happens to one decides nothing about the next, but the numbers of events follow from the order.
`specialised` looks at code as trees of `ast` (`parsed`), `object_lines` as text.
"""
