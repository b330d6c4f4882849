"""Work on files in several processes, started afresh: a fork of a process in which Paddle runs threads may hang."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from ..errors import TrainingError
from ..runtime import quiet_opencv

Result = TypeVar("Result")


def in_processes(work: Callable[..., Result], tasks: Iterable[tuple], workers: int) -> Iterator[Result]:
    """The results of `work(*task)`, in order; with one worker in this process.

    work: a function of a module. Raises what it raised, and TrainingError when a process was killed. The tasks are all
    handed out at once, so there should be hundreds of them, not millions.
    """
    if workers <= 1:
        yield from (work(*task) for task in tasks)
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_start)
    try:
        for future in [pool.submit(work, *task) for task in tasks]:
            yield future.result()
    except BrokenProcessPool:
        kill_workers()
        raise TrainingError(
            "a process that works on pictures died: memory ran out, or the program that started it "
            'lacks `if __name__ == "__main__":`'
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def kill_workers() -> None:
    """After one was killed: the standard library asks the others by SIGTERM, which they ignore, and waits for ever."""
    for worker in multiprocessing.active_children():
        worker.kill()


def _start() -> None:
    """In a new process: leave signals to the parent, and do not outlive it, however it ends."""
    quiet_opencv()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
