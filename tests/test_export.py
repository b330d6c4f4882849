"""Exports: complete or absent, checked on photographs, described for people."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from PIL import Image
from untrained import TEMPERATURE, make_run

from monkeys.cli import eval as eval_command
from monkeys.cli import export as export_command
from monkeys.cli import train
from monkeys.errors import UserError
from monkeys.serving import Predictor, check, export, formats
from monkeys.serving.engine import Dygraph, digest, has_bf16, read_export, why_stale
from monkeys.serving.examinations import note_network
from monkeys.serving.network import load_network

LAYERS = "conv3-8 maxpool2 conv3-8 avgpool2 fc16 drop0.2 fc3 softmax"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Path]:
    return make_run(tmp_path_factory.mktemp("export"), model="plain", size=16, layers=LAYERS)


@pytest.fixture
def run(made, tmp_path) -> Path:
    """A copy of the run to write into."""
    copy = tmp_path / "run"
    shutil.copytree(made[1], copy)
    return copy


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_paddle_is_written_and_said(run, capsys):
    assert export_command.main([str(run), "--format", "paddle"]) == 0
    folder = run / "export" / "paddle"
    program = "model.pdmodel" if paddle.__version__.startswith("2.") else "model.json"
    assert {program, "model.pdiparams", "network.json", "README.md"} <= names(folder)
    said = capsys.readouterr().out
    assert program in said
    assert "12 validation photographs" in said
    record = read_export(folder)
    assert record["temperature"] == TEMPERATURE
    assert record["check"]["largest_difference"] < 1e-4
    assert record["check"]["images"] == 12
    assert set(record["files"]) == names(folder) - {"network.json"}
    assert names(run / "export") == {"paddle"}
    assert why_stale(run) == ""


@pytest.mark.parametrize("kind", ["paddle", "safetensors"])
def test_an_export_names_photographs_by_itself(made, run, tmp_path, kind):
    photos, _ = made
    folder = tmp_path / "elsewhere" / "network"
    assert export_command.main([str(run), "--format", kind, "--out", str(folder)]) == 0
    expected = Predictor(run).predict(photos / "n1" / "3.jpg")
    shutil.rmtree(run)
    found = Predictor(folder).predict(photos / "n1" / "3.jpg")
    tolerance = 1e-6 if kind == "safetensors" else 1e-2  # bfloat16, where the processor has it
    given = {guess.name: guess.probability for guess in found.guesses}
    assert given == {guess.name: pytest.approx(guess.probability, abs=tolerance) for guess in expected.guesses}


@pytest.mark.parametrize(
    ("kind", "name"), [("paddle", "model.pdiparams"), ("paddle", "model.json"), ("safetensors", "best.safetensors")]
)
def test_a_part_of_a_copied_export_that_is_missing_or_damaged_is_named(run, tmp_path, kind, name):
    if name == "model.json" and paddle.__version__.startswith("2."):
        name = "model.pdmodel"
    folder = tmp_path / "copied"
    assert export_command.main([str(run), "--format", kind, "--out", str(folder)]) == 0
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-1])
    with pytest.raises(UserError, match=f"{name} is missing or damaged"):
        Predictor(folder)
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing or damaged"):
        Predictor(folder)
    (folder / name).write_bytes(whole)
    record = json.loads((folder / "network.json").read_text())
    (folder / "network.json").write_text(json.dumps(record | {"bf16": None}))
    with pytest.raises(UserError, match=r"network\.json is damaged"):
        Predictor(folder)


def test_safetensors_are_the_same_bytes(run):
    assert export_command.main([str(run), "--format", "safetensors"]) == 0
    folder = run / "export" / "safetensors"
    assert (folder / "best.safetensors").read_bytes() == (run / "best.safetensors").read_bytes()
    assert read_export(folder)["check"]["largest_difference"] == 0


def test_the_card_tells_data_figures_and_limits(run):
    assert eval_command.main([str(run)]) == 0
    export.export(run, "safetensors")
    card = (run / "export" / "safetensors" / "README.md").read_text()
    metrics = json.loads((run / "eval-val" / "metrics.json").read_text())
    assert "| **together** | 12 | 12 |" in card
    assert f"{metrics['top1']:.1%} ({metrics['top1_low']:.1%} to {metrics['top1_high']:.1%}) |" in card
    assert f"of {metrics['n_leak_free']} |" in card
    for words in ("best epoch was chosen on these images", "Intended use", "It knows 3 classes", "16×16 pixels", "1.7"):
        assert words in card, words


def test_the_card_tells_of_the_exported_weights_alone_and_of_how_they_were_examined(run):
    for name in ("eval-val", "eval-val-last"):
        (run / name).mkdir()
    assert eval_command.main([str(run), "--tta"]) == 0
    for name, top1 in (("eval-val", 0.25), ("eval-val-last", 0.75)):
        metrics = json.loads((run / "eval-val-tta" / "metrics.json").read_text()) | {"top1": top1}
        (run / name / "metrics.json").write_text(json.dumps(metrics))
        weights, best = "last" if "last" in name else "best", digest(run / "best.safetensors")
        note_network(run / name, weights=weights, best_sha256=best, temperature=TEMPERATURE)
    export.export(run, "safetensors")
    card = (run / "export" / "safetensors" / "README.md").read_text()
    assert "| validation¹ | 12 | 25.0%" in card
    assert "| validation, test-time augmentation¹ | 12 |" in card
    assert "75.0%" not in card


def test_the_card_of_a_run_without_figures_says_so(run):
    export.export(run, "safetensors")
    assert "have not been examined so far" in (run / "export" / "safetensors" / "README.md").read_text()


@pytest.mark.parametrize("clear", [False, True])
def test_the_cards_program_gives_the_predictors_answer(made, run, clear):
    """As a stranger would run it: in the folder, without this package."""
    export.export(run, "paddle")
    folder = run / "export" / "paddle"
    shutil.copyfile(made[0] / "n2" / "1.jpg", folder / "photo.jpg")
    if clear:
        Image.new("RGBA", (40, 30), (0, 0, 0, 60)).save(folder / "photo.jpg", format="PNG")
    program = (folder / "README.md").read_text().split("```python\n")[2].split("```")[0]
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    name, probability = done.stdout.split()[-2:]
    expected = Predictor(run).predict(folder / "photo.jpg").best
    assert (name, float(probability)) == (expected.name, pytest.approx(expected.probability, abs=1e-3))


def test_photographs_that_are_gone_are_named(made, run, tmp_path, capsys):
    config = (run / "config.yaml").read_text().replace(str(made[0]), str(tmp_path / "gone"))
    (run / "config.yaml").write_text(config)
    assert export_command.main([str(run)]) == 2
    said = capsys.readouterr().err
    assert "gone" in said
    assert "--without-photographs" in said
    assert not (run / "export").exists()
    assert export_command.main([str(run), "--without-photographs"]) == 0
    record = read_export(run / "export" / "paddle")
    assert "noise" in record["check"]["of"]
    assert record["bf16"]["use"] is False
    assert "noise" in (run / "export" / "paddle" / "README.md").read_text()


def test_a_failure_leaves_the_old_export_and_no_trace(run, monkeypatch, capsys):
    export.export(run, "paddle")
    folder = run / "export" / "paddle"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(network, target):
        (target / "model.json").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(formats, "save_program", full)
    assert export_command.main([str(run)]) == 2
    assert "the disk is full" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert names(run / "export") == {"paddle"}


def test_an_old_export_comes_back_where_the_new_one_cannot_take_its_place(run, monkeypatch, capsys):
    export.export(run, "safetensors")
    before = {path.name: path.read_bytes() for path in (run / "export" / "safetensors").iterdir()}
    rename = Path.rename

    def fail(self, target):
        if self.name.endswith(".tmp"):
            raise OSError(errno.EACCES, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    assert export_command.main([str(run), "--format", "safetensors"]) == 2
    assert "no permission" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (run / "export" / "safetensors").iterdir()} == before
    assert names(run / "export") == {"safetensors"}


def test_a_network_that_says_something_else_is_a_defect(run, monkeypatch):
    def spoilt(network, run, folder):
        other = load_network(run).model
        other.parameters()[-1].set_value(other.parameters()[-1] + 0.1)
        return Dygraph(other)

    monkeypatch.setitem(formats.WRITERS, "paddle", spoilt)
    with pytest.raises(RuntimeError, match="differs from the trained one"):
        export.export(run, "paddle")
    assert names(run / "export") == set()


def test_files_of_others_are_left_alone(run, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert export_command.main([str(run), "--format", "safetensors", "--out", str(tmp_path / "mine")]) == 2
    assert "notes.txt" in capsys.readouterr().err
    assert (
        export_command.main([str(run), "--format", "safetensors", "--out", str(tmp_path / "mine" / "notes.txt")]) == 2
    )
    assert names(tmp_path / "mine") == {"notes.txt"}
    (tmp_path / "mine" / "notes.txt").unlink()
    for _ in range(2):  # an empty folder and an earlier export are replaced
        assert export_command.main([str(run), "--format", "safetensors", "--out", str(tmp_path / "mine")]) == 0
    assert names(tmp_path / "mine") == {"best.safetensors", "network.json", "README.md"}


def test_onnx_without_its_packages_is_one_clear_line(run, monkeypatch, capsys):
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    assert export_command.main([str(run), "--format", "onnx"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert "pip install" in said[-1]
    assert not (run / "export").exists()


@pytest.mark.skipif(paddle.__version__.startswith("2."), reason="the converter needs Paddle 3")
def test_onnx_agrees(made, run):
    for package in formats.ONNX_PACKAGES:
        pytest.importorskip(package, reason="the optional extra onnx is not installed")
    done = export.export(run, "onnx")
    assert done.record["check"]["largest_difference"] < 1e-4
    folder = run / "export" / "onnx"
    assert names(folder) == {"model.onnx", "network.json", "README.md"}
    shutil.copyfile(made[0] / "n2" / "1.jpg", folder / "photo.jpg")
    program = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    said = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    name, probability = said.stdout.split()[-2:]
    expected = Predictor(run).predict(folder / "photo.jpg").best
    assert (name, float(probability)) == (expected.name, pytest.approx(expected.probability, abs=1e-3))
    with pytest.raises(UserError, match="export for onnx"):
        Predictor(folder)


@pytest.mark.parametrize(
    ("file", "change", "reason"),
    [
        ("export/paddle/model.pdiparams", lambda data: data[:-1] + b"?", "is damaged"),
        ("export/paddle/network.json", lambda data: data[:50], "is damaged"),
        ("export/paddle/network.json", lambda data: data.replace(b"paddlepaddle ", b"paddlepaddle 1"), "was made with"),
        ("best.safetensors", lambda data: data[:-1] + b"?", "is of other weights"),
        ("best.json", lambda data: data.replace(b"squash", b"crop"), "does not agree with best.json"),
    ],
)
def test_an_export_that_cannot_stand_for_the_run_is_found_out(run, file, change, reason):
    assert why_stale(run) == "is missing"
    export.export(run, "paddle")
    assert why_stale(run) == ""
    whole = (run / file).read_bytes()
    (run / file).write_bytes(change(whole))
    assert why_stale(run).startswith(reason)
    if file.startswith("export"):
        export.open_inference(run)  # makes it anew
        assert why_stale(run) == ""


def test_examples_are_spread_over_the_classes(made, monkeypatch):
    _, run = made
    monkeypatch.setattr(check, "COMPARED", 3)
    examples = check.from_run(run, load_network(run))
    everything = np.concatenate(list(examples.all()))
    assert everything.shape == (12, 3, 16, 16)
    places = [int(np.flatnonzero((everything == one).all(axis=(1, 2, 3)))[0]) for one in examples.some]
    assert [place // 4 for place in places] == [0, 1, 2]  # four of each class, in their order


@pytest.mark.slow
def test_real_photographs_are_what_it_is_checked_on(real_data, tmp_path):
    recipe = str(Path(__file__).parents[1] / "configs" / "monkeys_cpu.yaml")
    places = [f"data.root={real_data / 'monkeys'}", f"run.dir={tmp_path}", f"data.cache_dir={tmp_path / 'cache'}"]
    small = ["train.max_steps=2", "data.size=64", "data.sizes={}", "model.name=resnet18", "data.workers=0"]
    assert train.main(["-c", recipe, "-o", *places, *small]) == 0
    run = tmp_path / "monkeys_cpu"
    assert export_command.main([str(run)]) == 0
    record = read_export(run / "export" / "paddle")
    assert (record["check"]["images"], record["check"]["of"]) == (32, "validation photographs")
    if has_bf16():
        assert record["bf16"]["images"] == json.loads((run / "metrics.json").read_text())["n"]
