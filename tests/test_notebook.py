"""The notebook in an imitated hosted service: the archive is only read, work/ is kept, the rest goes with a session."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "monkeys.ipynb"
SMALL = (
    "model.name=resnet18 data.size=32 data.workers=1 augment.recipe=light optim.schedule.warmup_epochs=1 "
    "train.epochs=6 train.batch_size=16 train.save_steps=2"
)
TIMED = ("seconds", "img_per_s", "data_wait", "peak_mb", "elapsed")
POLL_SECONDS = 0.01


def source(cell: Any) -> str:
    return str(cell["source"])


def test_the_notebook_is_short_and_clean():
    book = nbformat.read(NOTEBOOK, as_version=4)
    assert len(book.cells) <= 10
    for cell in book.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
            assert source(cell).startswith("# ")


def test_the_notebook_names_tools_that_exist():
    text = NOTEBOOK.read_text(encoding="utf-8")
    for tool in ("prepare", "explore", "train", "eval", "predict"):
        assert f"tools/{tool}.py" in text
    assert 'SETTINGS = \\"\\"' in text  # the slow test puts smaller ones in its place


@dataclass
class Service:
    """A hosted notebook's machine below `place`."""

    place: Path
    over: bool = False  # the session

    @property
    def home(self) -> Path:
        return self.place / "home" / "aistudio"

    @property
    def run(self) -> Path:
        return self.home / "work" / "runs" / "monkeys"

    def attach(self, archive: Path) -> None:
        """Put the project into work/ and the archive under data/, not to be written."""
        project = self.home / "work" / "monkeys"
        for folder in ("monkeys", "tools", "configs", "notebooks"):
            shutil.copytree(ROOT / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
        for path in ROOT.glob("requirements*.txt"):
            shutil.copy(path, project)
        folder = self.home / "data" / "data102"
        folder.mkdir(parents=True)
        shutil.copy(archive, folder)
        (folder / archive.name).chmod(0o444)
        folder.chmod(0o555)

    def wipe(self) -> None:
        """The end of a session."""
        for path in [*self.place.iterdir(), *self.home.iterdir()]:
            if path not in (self.place / "home", self.home / "data", self.home / "work"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def environment(self) -> dict[str, str]:
        (self.place / "tmp").mkdir(exist_ok=True)
        own = {"HOME": str(self.home), "TMPDIR": str(self.place / "tmp"), "OMP_NUM_THREADS": "1"}
        return {**os.environ, **own, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def session(self, leave_out: tuple[str, ...] = (), cut: Callable[[Any], None] | None = None) -> Any:
        """Run the notebook's cells but those left out; cut: called with the kernel manager in a thread of its own."""
        self.over = False
        book = nbformat.read(NOTEBOOK, as_version=4)
        book.cells = [cell for cell in book.cells if cell["id"] not in leave_out]
        for cell in book.cells:
            cell["source"] = source(cell).replace('SETTINGS = ""', f"SETTINGS = {SMALL!r}")
        client = nbclient.NotebookClient(book, timeout=600, resources={"metadata": {"path": str(self.home)}})
        watch = threading.Thread(target=lambda: cut(client) if cut else None)
        watch.start()
        try:
            client.execute(env=self.environment())
        finally:
            self.over = True
            watch.join()
        return book

    def steps_saved(self) -> int:
        """The last checkpoint's step."""
        names = [path.stem for path in (self.run / "last").glob("step-*.json")]
        return max((int(name.removeprefix("step-")) for name in names), default=0)

    def wait_for_step(self, step: int) -> None:
        while self.steps_saved() < step:
            assert not self.over, "the session ended before this step"
            threading.Event().wait(POLL_SECONDS)


def kill(client: Any) -> None:
    """The service takes the machine away: the kernel and all that it started are gone at once."""
    process = psutil.Process(client.km.provisioner.pid)
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


def history(run: Path) -> list[dict[str, str]]:
    """history.csv without the columns that tell the time."""
    with (run / "history.csv").open(newline="", encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if key not in TIMED} for row in csv.DictReader(file)]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def said(book: Any, cell: str) -> str:
    outputs = next(c for c in book.cells if c["id"] == cell).outputs
    return "".join(output.get("text", "") for output in outputs)


def tool(name: str, *arguments: object) -> None:
    command = [sys.executable, str(ROOT / "tools" / f"{name}.py"), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment)


@pytest.mark.slow
def test_sessions_that_are_cut_end_where_an_uncut_one_does(tmp_path):
    drawn = tmp_path / "drawn"
    tool("prepare", "--synthetic", "--out", drawn, "--per-class", 8, 3, 0, "--cache-dir", tmp_path / "cache")
    (drawn / "manifest.csv").unlink()
    archive = Path(shutil.make_archive(str(tmp_path / "species"), "zip", drawn))
    service = Service(tmp_path / "service")
    service.attach(archive)
    attached = contents(service.home / "data")

    def take_away(client: Any) -> None:
        service.wait_for_step(6)
        kill(client)

    def press_stop(client: Any) -> None:
        service.wait_for_step(14)
        asyncio.run(client.km.interrupt_kernel())

    with pytest.raises(nbclient.exceptions.DeadKernelError):
        service.session(cut=take_away)
    first = service.steps_saved()
    service.wipe()
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="training has not finished"):
        service.session(cut=press_stop)
    second = service.steps_saved()
    service.wipe()
    assert 6 <= first < second < 30
    assert not (service.run / "last" / "finished.json").exists()

    whole = service.session()
    assert f"step {second}" in said(whole, "train")
    assert "top-1" in said(whole, "evaluate")
    assert len(said(whole, "predict").splitlines()) > 8
    uncut = tmp_path / "uncut"
    places = [f"run.dir={uncut}", "run.name=monkeys", f"data.root={drawn}", f"data.cache_dir={tmp_path / 'cache2'}"]
    tool("train", "-c", ROOT / "configs" / "aistudio.yaml", "-o", *places, *SMALL.split())
    assert (service.run / "best.safetensors").read_bytes() == (uncut / "monkeys" / "best.safetensors").read_bytes()
    assert history(service.run) == history(uncut / "monkeys")

    before = contents(service.run / "last") | {"weights": (service.run / "best.safetensors").read_bytes()}
    again = service.session(leave_out=("unpack", "explore"))  # from the middle, in a new kernel
    assert "is finished" in said(again, "train")
    assert before == contents(service.run / "last") | {"weights": (service.run / "best.safetensors").read_bytes()}
    assert contents(service.home / "data") == attached
    kept = {path.name for path in (service.home / "work").iterdir()}
    assert kept == {"monkeys", "runs", "explore", "predictions.csv"}
