"""Use 7: a CPU scheduler with task kptrs on the rbtree map."""

from __future__ import annotations

from pathlib import Path

from check import Figures

from ebpfvm.api import dialect_of, load, open_namespace, script_programs
from ebpfvm.loaded import Pins, open_engine
from ebpfvm.loader.variables import set_variables
from ebpfvm.sched.cpu import Cpu, TaskSpec

HERE = Path(__file__).resolve().parent
FAIR = str(HERE / "fair.o")
MS = 1_000_000
SECONDS = 10
END = SECONDS * 1000 * MS

# Three that always want to run, one that answers keys, one that ends, and one that is killed while it waits.
TASKS = [
    TaskSpec(1, "heavy", weight=3072),
    TaskSpec(2, "normal", weight=1024),
    TaskSpec(3, "light", weight=512),
    TaskSpec(4, "editor", weight=1024, burst=MS, sleep=50 * MS, start=5 * MS),
    TaskSpec(5, "job", weight=1024, work=200 * MS, start=2000 * MS),
    TaskSpec(6, "victim", weight=1024, start=4001 * MS, killed=4001 * MS + 1),
]


def run(fair: int, engine: str | None = None) -> Cpu:
    """Ten seconds of one CPU."""
    net = open_namespace(engine=engine)
    found = set_variables(load(FAIR), {"fair": fair})
    programs = script_programs(net.kernel, open_engine(engine), pins=Pins(), objects={FAIR: found})
    cpu = Cpu(net.kernel, net.loop, programs(FAIR, "fair_enqueue", ""), programs(FAIR, "fair_pick", ""), TASKS)
    net.loop.run(net.kernel.clock + END)
    return cpu


def worst_wait(cpu: Cpu) -> float:
    """Longest time from a key to the editor's turn, in ms."""
    return max(cpu.tasks[4].waits) / MS


figures = Figures("use 7: a CPU scheduler on the rbtree map")
figures.same("the program's type is not Linux's", dialect_of(load(FAIR).programs["fair_pick"]).name, "rfc6")
cpu, robin = run(1), run(0)
hogs = [cpu.tasks[pid].ran for pid in (1, 2, 3)]
for state, weight, share in ((cpu.tasks[1], 3072, 6 / 9), (cpu.tasks[2], 1024, 2 / 9), (cpu.tasks[3], 512, 1 / 9)):
    figures.within(f"fair: share of weight {weight} among those that always run", state.ran / sum(hogs),
                   0.99 * share, 1.01 * share)
figures.within("round robin: share of weight 3072", robin.tasks[1].ran / sum(robin.tasks[pid].ran for pid in (1, 2, 3)),
               0.32, 0.35)
figures.within("fair: longest wait of the editor for its turn", worst_wait(cpu), 0, 5.9, "ms")
figures.within("round robin: longest wait of the editor for its turn", worst_wait(robin), 9, 13, "ms")
figures.same("fair: the job has done its work and has ended", [cpu.tasks[5].ran // MS, cpu.tasks[5].task.users],
             [200, 0])
figures.same("the task killed while a map held it was freed without having run",
             [cpu.tasks[6].ran, cpu.tasks[6].task.users], [0, 0])
figures.within("idle", cpu.idle / END, 0, 0.01)
waiting = cpu.kernel.refs.holding(lambda holder: holder == "map runqueue")
figures.same("tasks that the map owns at the end", len(waiting), 2)
cpu.finish()
owners = [bpf_map for bpf_map in list(cpu.kernel.maps.values()) if bpf_map.name == "runqueue"]
owners[0].close()
figures.same("tasks left when the map is closed", sum(state.task.users for state in cpu.tasks.values()), 0)
other = run(1, "interp")
figures.true("both engines schedule alike", [state.ran for state in other.tasks.values()] ==
             [state.ran for state in cpu.tasks.values()] and other.switches == cpu.switches, f"{cpu.switches} switches")
figures.done()
