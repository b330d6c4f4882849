"""Files from strangers: none runs code, none takes more than 2 GB, each costs one clear line."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from faults import ROOT

LIMIT = 2 * 2**10  # megabytes
SAFETENSORS, PDPARAMS, YAML, ARCHIVE, CHECKPOINT = "w.safetensors", "w.pdparams", "c.yaml", "a.zip", "last"


class Calls:
    """What unpickles as a call."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable, tuple[object, ...]]:
        return self._call


def header(record: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(record).encode() if not isinstance(record, bytes) else record
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(shape: list[int], offsets: list[int], kind: str = "F32") -> dict[str, object]:
    return {"w": {"dtype": kind, "shape": shape, "data_offsets": offsets}}


def zipped(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def tarred(kind: bytes, name: str, target: str = "", size: int = 0) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, target, size
        archive.addfile(info, io.BytesIO(bytes(size)))
    return file.getvalue()


def sparse_giant() -> bytes:
    """A tar.gz whose only member is said to be 8 TB and is 64 MB of zeros, in some kilobytes."""
    info = tarfile.TarInfo("a/giant.jpg")
    info.size = 2**43
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(2**26), 1)


def laughs(levels: int = 12) -> bytes:
    """YAML whose aliases multiply by nine at each level."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines).encode()


def flagged(command: str) -> Callable[[Path], bytes]:
    return lambda flag: command.format(flag=flag).encode()


ATTACKS: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "pickle runs a command": (PDPARAMS, lambda flag: pickle.dumps({"w": Calls(os.system, f"touch {flag}")}, 4)),
    "pickle, protocol 2": (PDPARAMS, lambda flag: pickle.dumps({"w": Calls(os.system, f"touch {flag}")}, 2)),
    "pickle evaluates": (PDPARAMS, lambda flag: pickle.dumps({"w": Calls(eval, f"open({str(flag)!r}, 'w')")}, 4)),
    "pickle imports": (PDPARAMS, lambda flag: pickle.dumps({"w": Calls(__import__, "antigravity")}, 4)),
    "pickle opens a file": (PDPARAMS, lambda flag: pickle.dumps(Calls(open, str(flag), "w"), 4)),
    "pickle of 10^12 elements": (
        PDPARAMS,
        lambda flag: pickle.dumps({"w": Calls(np.ndarray, (10**12,))}, 4),
    ),
    "pickle of 10^12 bytes": (PDPARAMS, lambda flag: b"\x80\x04\x8e" + struct.pack("<Q", 10**12) + b"x."),
    "pickle that encodes a text a thousand times": (
        PDPARAMS,
        lambda flag: (
            (b"\x80\x02(X" + struct.pack("<I", 2**22) + b"a" * 2**22 + b"q\x00")
            + b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R" * 1000
            + b"t."
        ),
    ),
    "deeply nested pickle": (
        PDPARAMS,
        lambda flag: b"\x80\x04" + b"}X\x01\x00\x00\x00a" * 200_000 + b"}" + b"s" * 200_000 + b".",
    ),
    "pickle named safetensors": (SAFETENSORS, lambda flag: pickle.dumps({"w": Calls(os.system, f"touch {flag}")}, 4)),
    "header longer than the file": (SAFETENSORS, lambda flag: header({}, length=2**20)),
    "header of 2^62 bytes": (SAFETENSORS, lambda flag: header({}, length=2**62)),
    "tensor of 10^12 elements": (SAFETENSORS, lambda flag: header(tensor([10**12], [0, 4 * 10**12]))),
    "tensor whose size overflows": (SAFETENSORS, lambda flag: header(tensor([2**62, 2**62], [0, 4]), bytes(4))),
    "tensor beyond the end": (SAFETENSORS, lambda flag: header(tensor([1], [2**40, 2**40 + 4]), bytes(4))),
    "tensor that ends before it starts": (SAFETENSORS, lambda flag: header(tensor([1], [4, 0]), bytes(4))),
    "deeply nested header": (SAFETENSORS, lambda flag: header(b'{"w":' + b"[" * 500_000 + b"]" * 500_000 + b"}")),
    "header that is no text": (SAFETENSORS, lambda flag: header(b'{"\xff\xfe": 1}')),
    "checkpoint whose state is a pickle": (CHECKPOINT, lambda flag: pickle.dumps(Calls(os.system, f"touch {flag}"), 4)),
    "checkpoint nested deeply": (CHECKPOINT, lambda flag: b"[" * 1_000_000),
    "YAML that runs a command": (YAML, flagged("run: !!python/object/apply:os.system ['touch {flag}']")),
    "YAML that makes an object": (YAML, flagged("run: !!python/object/new:pathlib.Path ['{flag}']")),
    "YAML that names a function": (YAML, flagged("run: !!python/name:os.system")),
    "YAML of a billion laughs": (YAML, lambda flag: laughs()),
    "YAML nested deeply": (YAML, lambda flag: b"[" * 100_000),
    "archive that leads out": (ARCHIVE, lambda flag: zipped((f"../{flag.name}", b"x"))),
    "archive with an absolute path": (ARCHIVE, lambda flag: zipped((str(flag), b"x"))),
    "archive with a link": (ARCHIVE, lambda flag: tarred(tarfile.SYMTYPE, "a/b", str(flag.parent))),
    "archive with a device": (ARCHIVE, lambda flag: tarred(tarfile.CHRTYPE, "a/b")),
    "archive of 8 TB": (ARCHIVE, lambda flag: sparse_giant()),
}

# Each file in a process of its own would take minutes to start: one process reads all, bounded, and answers per file.
READER = """
import json, os, resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (2**28, 2**28))
from monkeys import runtime
from monkeys.config import load_config
from monkeys.data.archives import unpack
from monkeys.errors import UserError
from monkeys.models.weight_files import read_weights
from monkeys.training.checkpoint import Checkpoints, load_tensors
def used(): return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used() + 2**31, used() + 2**31))
def both(path):
    try: read_weights(path)
    finally: load_tensors(path)
def latest(path): Checkpoints(path).latest()
READ = {"w.pdparams": read_weights, "w.safetensors": both, "c.yaml": load_config, "last": latest,
        "a.zip": lambda path: unpack(path, path.parent / "out" / "deep", max_bytes=2**27)}
for folder in sorted(Path(sys.argv[2]).iterdir()):
    name = next(iter(sorted(p.name for p in folder.iterdir() if p.name in READ)))
    try:
        READ[name](folder / name)
        said = "accepted"
    except UserError as error:
        said = str(error)
    print(json.dumps([folder.name, said]), flush=True)
print(json.dumps(["peak", runtime.peak_megabytes()]))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> tuple[dict[str, object], Path]:
    """What the program said of each file, its peak of memory, and the folder where a flag would appear."""
    place = tmp_path_factory.mktemp("malicious")
    flags = place / "flags"
    flags.mkdir()
    for number, (kind, make) in enumerate(ATTACKS.values()):
        folder = place / "files" / f"{number:02}"
        folder.mkdir(parents=True)
        path = folder / kind
        if kind == CHECKPOINT:
            path.mkdir()
            path = path / "step-000000001.json"
        path.write_bytes(make(flags / f"flag{number}"))
    command = [sys.executable, "-c", READER, str(ROOT), str(place / "files")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=place)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")), place


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_is_refused_in_one_clear_line(answers, attack):
    said = str(answers[0][f"{list(ATTACKS).index(attack):02}"])
    assert said != "accepted"
    assert said.replace("\n  ", " ").isprintable()  # a configuration's faults have a line each
    assert len(said) < 1000
    assert ATTACKS[attack][0] in said or "step-" in said


def test_no_code_ran_and_nothing_left_its_folder(answers):
    _, place = answers
    assert not list((place / "flags").iterdir())
    assert not [path for path in place.rglob("flag*") if path.name != "flags"]
    assert not list(place.rglob("out/*"))


def test_none_took_two_gigabytes(answers):
    assert int(str(answers[0]["peak"])) < LIMIT


def test_there_are_enough():
    assert len(ATTACKS) >= 15
