"""One command becomes several processes of one training run; a message and an end when any of them fails."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

from .errors import WRONG_INPUT

log = logging.getLogger("monkeys")

POLL_SECONDS = 0.2
GRACE_SECONDS = 30.0  # for the others to end after one has failed
_PR_SET_PDEATHSIG = 1


def is_rank() -> bool:
    """Whether this process is already one of several, started by `launch` or by paddle.distributed.launch."""
    return int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) > 1


def launch(command: Sequence[str], processes: int, gloo: bool) -> int:
    """Run the command in so many ranks and wait; returns the exit code of the first that failed, else 0.

    Signals are passed on, so that every rank saves and leaves. No rank outlives this process.
    """
    ports = [_free_port() for _ in range(processes + 1)]
    ranks = [
        subprocess.Popen(command, env=rank_environment(rank, ports, gloo, os.environ), preexec_fn=_die_with_parent)
        for rank in range(processes)
    ]

    with _signals_to(ranks):
        try:
            return _watch(ranks)
        finally:
            for process in ranks:
                process.kill()


def run_alone(command: Sequence[str]) -> int:
    """Run the command as one process and wait; returns its exit code. Signals are passed on; it does not outlive us."""
    process = subprocess.Popen(command, preexec_fn=_die_with_parent)
    with _signals_to([process]):
        return _exit_code(process.wait())


@contextlib.contextmanager
def _signals_to(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """SIGINT and SIGTERM reach these processes, which save and leave, instead of ending this one."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in processes:
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def rank_environment(rank: int, ports: Sequence[int], gloo: bool, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables by which Paddle learns its place. ports: the master's, then one per rank."""
    endpoints = [f"127.0.0.1:{port}" for port in ports[1:]]
    settings = {
        "PADDLE_MASTER": f"127.0.0.1:{ports[0]}",
        "PADDLE_TRAINER_ID": str(rank),
        "PADDLE_TRAINERS_NUM": str(len(endpoints)),
        "PADDLE_TRAINER_ENDPOINTS": ",".join(endpoints),
        "PADDLE_CURRENT_ENDPOINT": endpoints[rank],
    }
    device = {"PADDLE_DISTRI_BACKEND": "gloo"} if gloo else {"FLAGS_selected_gpus": str(rank)}
    return {**environ, **settings, **device}


def _watch(ranks: Sequence[subprocess.Popen[bytes]]) -> int:
    """Until all have ended, or one has failed and the others had their grace; rank 0, which writes all, decides."""
    failed_at, code = 0.0, 0
    while any(process.poll() is None for process in ranks):
        if ranks[0].poll() == 0:
            return 0
        for rank, process in enumerate(ranks):
            if process.poll() and not code:
                code, failed_at = _exit_code(process.returncode), time.monotonic()
                _tell(rank, process.returncode, ranks)
        if code and time.monotonic() - failed_at > GRACE_SECONDS:
            break
        time.sleep(POLL_SECONDS)
    return code or next((_exit_code(process.returncode) for process in ranks if process.returncode), 0)


def _tell(rank: int, returncode: int, ranks: Sequence[subprocess.Popen[bytes]]) -> None:
    """A rank that failed takes the others with it; one that was only interrupted leaves them time to save."""
    if returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        return
    if returncode != WRONG_INPUT:  # that rank has told the user what to mend
        why = f"was killed by signal {-returncode}" if returncode < 0 else f"ended with exit code {returncode}"
        log.error("rank %d %s; the other ranks are stopped, go on with --resume auto", rank, why)
    for process in ranks:
        process.kill()


def _exit_code(returncode: int) -> int:
    return 128 - returncode if returncode < 0 else returncode


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
