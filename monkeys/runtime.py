"""What must happen before Paddle is imported: CPU tuning; and what a run should remember of its machine.

Paddle's wheels bundle a math library (mklml) that takes its slow path on AMD processors unless `MKL_DEBUG_CPU_TYPE`
says otherwise, and Paddle sets one OpenMP thread unless `OMP_NUM_THREADS` is there. Both are read at import.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import io
import logging
import os
import platform
import random
import re
import resource
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UserError

SWITCH = "MONKEYS_NO_TUNING"
_RECORDED = (
    *("paddlepaddle", "paddlepaddle-gpu", "numpy", "imgaug"),
    *("opencv-python", "visualdl", "pillow", "scikit-learn"),
)
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # mallopt(3)
_RECORDED_FLAGS = (
    *("OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE", "CUDA_VISIBLE_DEVICES"),
    *("PADDLE_DISTRI_BACKEND", "FLAGS_cudnn_deterministic"),
)

log = logging.getLogger("monkeys")


@dataclass(frozen=True)
class Cpu:
    """The processor as far as tuning depends on it."""

    vendor: str
    model: str
    flags: frozenset[str]
    cores: int

    @staticmethod
    def read(path: Path = Path("/proc/cpuinfo")) -> Cpu:
        """From Linux' own description; elsewhere an unknown vendor without flags."""
        fields: dict[str, str] = {}
        if path.exists():
            for line in path.read_text(errors="replace").splitlines():
                key, _, value = line.partition(":")
                fields.setdefault(key.strip(), value.strip())
        return Cpu(
            vendor=fields.get("vendor_id", ""),
            model=fields.get("model name", platform.processor()),
            flags=frozenset(fields.get("flags", "").split()),
            cores=usable_cores(),
        )


def usable_cores() -> int:
    """Cores that this process may use: its affinity, then the container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.exists():
        limit, _, period = quota.read_text().strip().partition(" ")
        if limit.isdigit() and period.isdigit():
            cores = min(cores, max(1, int(limit) // int(period)))
    return cores


def tuning(cpu: Cpu, environ: Mapping[str, str], processes: int = 1) -> dict[str, str]:
    """Environment variables to set, without touching any that the user set. Pure; empty when switched off."""
    if environ.get(SWITCH):
        return {}
    settings = {"OMP_NUM_THREADS": str(max(1, cpu.cores // processes))}
    if cpu.vendor == "AuthenticAMD" and "avx512f" in cpu.flags:
        settings["MKL_DEBUG_CPU_TYPE"] = "7"
    elif cpu.vendor == "AuthenticAMD" and "avx2" in cpu.flags:
        settings["MKL_DEBUG_CPU_TYPE"] = "5"
    return {name: value for name, value in settings.items() if not environ.get(name)}


def tune_cpu(environ: MutableMapping[str, str] = os.environ, processes: int = 1) -> str:
    """Apply `tuning` before Paddle is imported; returns one line that says what was done and why."""
    cpu = Cpu.read()
    if environ.get(SWITCH):
        return f"CPU tuning is off ({SWITCH} is set)"
    if "paddle" in sys.modules:
        return "CPU tuning skipped: Paddle was imported before it could be tuned"
    settings = tuning(cpu, environ, processes)
    environ.update(settings)
    _keep_freed_memory()
    done = ", ".join(f"{name}={value}" for name, value in settings.items()) or "nothing left to set"
    processor = cpu.model or "an unknown processor"
    return f"CPU tuned for {cpu.cores} core(s) of {processor}: {done} ({SWITCH}=1 leaves all alone)"


def _keep_freed_memory() -> None:
    """Let glibc keep what a step has freed for the next one; fresh pages from the system cost a tenth of a step."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1)):
        libc.mallopt(option, value)


def quieten() -> None:
    """Before Paddle is imported: repeatable convolutions on a GPU, and no notices about what we chose on purpose."""
    os.environ.setdefault("FLAGS_cudnn_deterministic", "1")
    os.environ.setdefault("GLOG_minloglevel", "2")
    warnings.filterwarnings("ignore", message=".*ccache.*")
    warnings.filterwarnings("ignore", message=".*always track global mean and variance.*")


def quiet_opencv() -> None:
    """One thread and no OpenCL: OpenCV's own threads hang in forked loader workers."""
    import cv2

    cv2.setNumThreads(0)
    cv2.ocl.setUseOpenCL(False)


def import_paddle() -> None:
    """Import Paddle without its warning that more than one OpenMP thread was asked for; Ctrl-C ends the command."""
    said = io.StringIO()
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # an ImportError otherwise
    with contextlib.redirect_stderr(said):
        import paddle  # noqa: F401
    signal.signal(signal.SIGINT, before)
    kept = [line for line in said.getvalue().splitlines() if not re.search("OMP_NUM_THREADS|OpenBlas", line)]
    sys.stderr.write("".join(line + "\n" for line in kept))


def gpu_count(environ: Mapping[str, str]) -> int:
    """GPUs that Paddle may use, told without importing it: none with its CPU build, else those named, else all."""
    if _version("paddlepaddle-gpu") is None:
        return 0
    if (named := environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return len([card for card in named.split(",") if card.strip() not in ("", "-1")])
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def choose_device(wanted: str) -> tuple[str, str]:
    """Paddle's name of the device to use, and the reason in words.

    Raises UserError where a GPU is asked for and none can be used.
    """
    import paddle

    built = paddle.device.is_compiled_with_cuda()
    cards = paddle.device.cuda.device_count() if built else 0
    if wanted == "gpu" and not cards:
        why = "no GPU is visible" if built else "this Paddle is the CPU build (see requirements-gpu.txt)"
        raise UserError(f"run.device=gpu, but {why}; use run.device=auto or cpu")
    if wanted == "cpu" or not cards:
        reason = "asked for" if wanted == "cpu" else "no GPU is visible" if built else "this Paddle is the CPU build"
        return "cpu", reason
    index = int(os.environ.get("FLAGS_selected_gpus", "0").split(",")[0])  # noqa: SIM112 (the launcher's name)
    return f"gpu:{index}", f"{cards} GPU(s) visible"


def seed_everything(seed: int) -> None:
    """Seed Paddle, numpy and Python; what is drawn per sample does not depend on these."""
    import numpy as np
    import paddle

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (Paddle's samplers and imgaug read the global state)
    paddle.seed(seed)


def environment(device: str, seed: int) -> dict[str, Any]:
    """Versions, processor, device, flags and seed, for environment.json."""
    cpu = Cpu.read()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in _RECORDED if (version := _version(name))},
        "cpu": {"model": cpu.model, "vendor": cpu.vendor, "usable_cores": cpu.cores},
        "device": device,
        "flags": {name: os.environ[name] for name in _RECORDED_FLAGS if name in os.environ},
        "seed": seed,
    }


def cache_folder(wanted: Path | None) -> Path:
    """Where decoded pictures and audits are kept; a temporary folder where the home folder cannot be written."""
    folder = wanted or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "monkeys"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if writable:
        return folder
    if wanted:
        raise UserError(f"the cache folder {folder} cannot be written; data.cache_dir, or --cache-dir, names another")
    folder = _own_temporary("cache")
    log.warning("the home folder cannot be written; caches go to %s", folder)
    return folder


@contextlib.contextmanager
def home_to_write() -> Iterator[None]:
    """Inside, the home folder can be written: VisualDL puts a folder there when it is imported, and fails otherwise."""
    before = os.environ.get("HOME")
    if not os.access(Path.home(), os.W_OK):
        os.environ["HOME"] = str(_own_temporary("home"))
    try:
        yield
    finally:
        if before is not None:
            os.environ["HOME"] = before


def _own_temporary(purpose: str) -> Path:
    folder = Path(tempfile.gettempdir()) / f"monkeys-{purpose}-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def peak_megabytes() -> int:
    """Largest resident memory of this process so far.

    Linux counts a parent's memory as its child's in `ru_maxrss`, as it stood when the child began its program;
    its own file on the process does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) // 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (2**20 if sys.platform == "darwin" else 2**10)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
