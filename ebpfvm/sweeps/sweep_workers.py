"""Run the points of a sweep in local processes, or on a Dask cluster, and keep each result as soon as it is there.

Both are executors of `concurrent.futures`. The process that asked writes the results, so workers need no common file
system.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, Final

from ebpfvm._version import __version__
from ebpfvm.errors import UsageError
from ebpfvm.sweeps.point_run import point_error, run_point

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from ebpfvm.sweeps.sweep_folder import SweepFolder
    from ebpfvm.sweeps.sweep_points import SweepPoint

_LOOK: Final = 0.2  # seconds between looks at whether the sweep is stopped
_AHEAD: Final = 2  # points handed out for each worker, so that none waits for the next one


class Sweep:
    """A sweep that is run.

    Args:
        points: all points.
        folder: where results are kept; points that it holds are not run again.

    Attributes:
        results: key of a point -> result, of the points so far.
        done: number of points that were run by `run` and have a result.
        todo: number of points that `run` has to run.
    """

    def __init__(self, points: Sequence[SweepPoint], folder: SweepFolder) -> None:
        self.results: dict[str, dict[str, Any]] = {}
        self._folder = folder
        self._waiting: deque[SweepPoint] = deque()
        self._suspects: deque[SweepPoint] = deque()  # were running when a worker process died
        self._stopped = False
        self._futures: dict[Future[dict[str, Any]], SweepPoint] = {}
        for point in points:
            found = folder.read(point)
            if found is None:
                self._waiting.append(point)
            else:
                self.results[point.key] = found
        self.todo = len(self._waiting)
        self.done = 0

    def stop(self, _reason: str = "") -> None:
        """Start no more points; those that are running are finished and kept."""
        self._stopped = True

    def run(self, start: Callable[[], Executor], workers: int) -> None:
        """Run what is missing.

        Args:
            start: function that returns an executor; called again if a process of the executor has died.
            workers: number of points that the executor runs at a time.
        """
        while not self._stopped and (self._waiting or self._suspects):
            alone = not self._waiting
            with start() as executor:
                self._run(executor, 1 if alone else workers * _AHEAD, self._suspects if alone else self._waiting)

    def _run(self, executor: Executor, width: int, queue: deque[SweepPoint]) -> None:
        broken = False
        while self._futures or (queue and not self._stopped and not broken):
            while queue and len(self._futures) < width and not self._stopped and not broken:
                point = queue.popleft()
                self._futures[executor.submit(run_point, point.scenario)] = point
            if self._stopped:
                for future in self._futures:
                    future.cancel()
            finished, _ = wait(self._futures, _LOOK, FIRST_COMPLETED)
            for future in finished:
                broken |= self._take(future, self._futures.pop(future), width == 1)

    def _take(self, future: Future[dict[str, Any]], point: SweepPoint, alone: bool) -> bool:
        """Keep the result of a future; return whether the executor is broken."""
        if future.cancelled():
            return False
        error = future.exception()
        if isinstance(error, BrokenExecutor) and not alone:
            self._suspects.append(point)
            return True
        if error is not None:
            died = isinstance(error, BrokenExecutor)
            message = "the process that ran it has ended; was there enough memory?" if died else str(error)
            self._keep(point, point_error("internal", message))
            return died
        self._keep(point, future.result())
        return False

    def _keep(self, point: SweepPoint, result: dict[str, Any]) -> None:
        self.done += 1
        self.results[point.key] = result
        if "error" not in result:  # a failed point is run again the next time
            self._folder.write(point, result)


class LocalWorkers(ProcessPoolExecutor):
    """An executor that runs points in new processes; an error that leaves its `with` statement ends them at once."""

    def __init__(self, jobs: int) -> None:
        super().__init__(jobs, multiprocessing.get_context("spawn"), initializer=_begin)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Schedule a call; a process that is started for it does not get the Ctrl-C of the terminal."""
        if not hasattr(signal, "pthread_sigmask"):
            return super().submit(fn, *args, **kwargs)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # a new process inherits it
        try:
            return super().submit(fn, *args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> bool | None:
        if kind is not None:
            for process in list(self._processes.values()):
                process.terminate()
        return super().__exit__(kind, error, trace)


def _begin() -> None:
    """End with the process that asked, even if it is killed, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


@contextmanager
def dask_cluster(address: str) -> Iterator[tuple[Callable[[], Executor], int]]:
    """Connect to a Dask cluster; yield a function that returns an executor for it, and its number of workers.

    Raises:
        UsageError: Dask is not installed, there is no scheduler at the address, it has no workers, or these have
            another version of ebpfvm or none.
    """
    try:
        connect: Any = import_module("distributed").Client
    except ImportError:
        raise UsageError("--scheduler needs Dask, which an extra installs: pip install 'ebpfvm[dask]'") from None
    try:
        client = connect(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"--scheduler {address}: no Dask scheduler answers there: {error}") from None
    with client:
        _same_version(address, client)
        yield client.get_executor, sum(client.nthreads().values())


def _same_version(address: str, client: Any) -> None:
    try:
        versions = set(client.run(_version).values())
    except Exception as error:  # whatever the workers' Python raises
        raise UsageError(f"--scheduler {address}: the workers cannot import ebpfvm {__version__}; install it in their "
                         f"environment: {error}") from None
    if not versions:
        raise UsageError(f"--scheduler {address}: the cluster has no workers")
    if versions != {__version__}:
        raise UsageError(f"--scheduler {address}: the workers have ebpfvm {', '.join(sorted(versions))}, and this is "
                         f"{__version__}")


def _version() -> str:
    return __version__
