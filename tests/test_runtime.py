from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from monkeys import runtime
from monkeys.errors import UserError
from monkeys.runtime import Cpu, tune_cpu, tuning

AMD_512 = Cpu("AuthenticAMD", "EPYC", frozenset({"avx2", "avx512f"}), 4)
AMD_2 = Cpu("AuthenticAMD", "Ryzen", frozenset({"avx2"}), 4)
INTEL = Cpu("GenuineIntel", "Xeon", frozenset({"avx2", "avx512f"}), 4)


@pytest.mark.parametrize(("cpu", "kind"), [(AMD_512, "7"), (AMD_2, "5"), (INTEL, None)])
def test_the_fast_path_is_forced_on_amd_alone(cpu, kind):
    assert tuning(cpu, {}).get("MKL_DEBUG_CPU_TYPE") == kind
    assert tuning(cpu, {})["OMP_NUM_THREADS"] == "4"


def test_what_the_user_set_is_left_alone():
    assert tuning(AMD_512, {"MKL_DEBUG_CPU_TYPE": "5", "OMP_NUM_THREADS": "1"}) == {}


def test_processes_share_the_cores():
    assert tuning(INTEL, {}, processes=2)["OMP_NUM_THREADS"] == "2"
    assert tuning(INTEL, {}, processes=9)["OMP_NUM_THREADS"] == "1"


def test_tuning_can_be_switched_off():
    environ = {runtime.SWITCH: "1"}
    assert tuning(AMD_512, environ) == {}
    assert "off" in tune_cpu(environ)
    assert environ == {runtime.SWITCH: "1"}


def test_tuning_says_what_it_did(monkeypatch):
    monkeypatch.delitem(sys.modules, "paddle", raising=False)
    monkeypatch.setattr(Cpu, "read", staticmethod(lambda: AMD_512))
    environ: dict[str, str] = {}
    line = tune_cpu(environ)
    assert "MKL_DEBUG_CPU_TYPE=7" in line
    assert "EPYC" in line
    assert environ == {"OMP_NUM_THREADS": "4", "MKL_DEBUG_CPU_TYPE": "7"}


def test_cpuinfo_is_read(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(
        "processor : 0\nvendor_id\t: AuthenticAMD\nmodel name : EPYC 9\nflags : sse avx2\n\nprocessor : 1\n"
    )
    cpu = Cpu.read(path)
    assert (cpu.vendor, cpu.model, cpu.flags) == ("AuthenticAMD", "EPYC 9", {"sse", "avx2"})
    assert cpu.cores >= 1


def test_a_gpu_that_is_not_there_is_refused_with_the_reason():
    import paddle

    if paddle.device.is_compiled_with_cuda():
        pytest.skip("this Paddle could use a GPU")
    with pytest.raises(UserError, match="CPU build"):
        runtime.choose_device("gpu")
    assert runtime.choose_device("auto") == ("cpu", "this Paddle is the CPU build")


@pytest.mark.parametrize(
    ("build", "named", "cards"), [("3.3", "0,2", 2), ("3.3", "", 0), ("3.3", "-1", 0), (None, "0,2", 0)]
)
def test_cards_are_counted_for_a_gpu_build_alone(monkeypatch, build, named, cards):
    monkeypatch.setattr(runtime, "_version", {"paddlepaddle-gpu": build}.get)
    assert runtime.gpu_count({"CUDA_VISIBLE_DEVICES": named}) == cards


def test_the_environment_is_recorded():
    record = runtime.environment("cpu", 3)
    assert record["seed"] == 3
    assert record["packages"]["numpy"]
    assert record["cpu"]["usable_cores"] >= 1


def test_an_unwritable_home_falls_back_to_a_temporary_folder(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert runtime.cache_folder(None).parent == tmp_path
    with pytest.raises(UserError, match="cache_dir"):
        runtime.cache_folder(blocked / "below")


def test_a_parents_memory_is_not_counted(tmp_path):
    child = "from monkeys.runtime import peak_megabytes; print(peak_megabytes())"
    parent = f"kept = bytes(2**28) + b'.'; import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    said = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True).stdout
    assert 1 < int(said) < 200


def test_ctrl_c_while_paddle_is_imported_ends_the_command(tmp_path):
    (tmp_path / "paddle.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(Path(runtime.__file__).parents[1])!r}]; "
    code += "from monkeys import runtime; runtime.import_paddle()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")
