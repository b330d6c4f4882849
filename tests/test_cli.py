"""What bad input gets: exit code 2, one clear message, nothing half-written, nothing of the user's touched."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import paint

from monkeys.cli import bench, entry, explore, predict, train
from monkeys.cli import eval as eval_command
from monkeys.config import load_config
from monkeys.errors import UserError

ROOT = Path(__file__).parents[1]
CPU = str(ROOT / "configs" / "monkeys_cpu.yaml")


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def refused(capsys, shrunk, photos, tmp_path):
    """Runs training that must be refused; returns what standard error said."""

    def run(*overrides: str, config: str = CPU, root: Path | None = photos, flags: tuple[str, ...] = ()) -> str:
        before = listing(root) if root and root.is_dir() else {}
        data = [f"data.root={root}"] if root else []
        code = train.main(["-c", config, "-o", *shrunk, *data, *overrides, *flags])
        said = capsys.readouterr()
        assert code == 2, said
        assert [line.startswith("error: ") for line in said.err.splitlines()].count(True) == 1, said.err
        assert "Traceback" not in said.err
        assert not (tmp_path / "runs" / "monkeys_cpu").exists()
        if before:
            assert listing(root) == before
        return said.err

    return run


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.name=resnet51", "nearest: resnet50"),
        ("augment.recipe=heavy", "known: none"),
        ("optim.name=adma", "nearest: adam"),
        ("optim.schedule.name=cosin", "nearest: cosine"),
        ("train.epochs=-1", "train.epochs"),
        ("train.batch_size=0", "train.batch_size"),
        ("train.batch_size=many", "train.batch_size"),
        ("run.seed=10000000000000000000", "run.seed"),
        ("data.split_seed=5000000000", "data.split_seed"),
        ("train.epoch=3", "nearest: train.epochs"),
        ("train.batch_size=64", "larger than the training set"),
        ("run.device=gpu", "CPU build"),
        ("optim.name=bfgs", "second order, for small networks"),
        ("train.class_weights=[1, 2]", "train.class_weights: 2 weights were given for 3 classes"),
        ("data.source_size=16", "less than the 32 pixels of training"),
        ("model.pretrained=missing.pdparams", "missing.pdparams"),
    ],
)
def test_a_wrong_setting_is_named(refused, override, words):
    assert words in refused(override)


def test_a_missing_configuration_is_named(refused):
    assert "no such configuration" in refused(config="missing.yaml")


def test_a_missing_folder_is_named(refused, tmp_path):
    assert "nowhere" in refused(root=tmp_path / "nowhere")


def test_a_folder_without_images_is_refused(refused, tmp_path):
    (tmp_path / "empty" / "a").mkdir(parents=True)
    assert "no images found" in refused(root=tmp_path / "empty")


def test_one_class_is_too_few(refused, tmp_path):
    assert "only one class" in refused(root=paint(tmp_path / "one", {"n0": 12}))


def test_an_unreadable_image_is_named_and_can_be_skipped(refused, photos, shrunk, tmp_path):
    whole = (photos / "n1" / "3.jpg").read_bytes()
    (photos / "n1" / "3.jpg").write_bytes(whole[: len(whole) // 2])
    assert "n1/3.jpg" in refused()
    assert (
        train.main(["-c", CPU, "-o", *shrunk, f"data.root={photos}", "data.skip_unreadable=true", "train.epochs=1"])
        == 0
    )
    assert "n1/3.jpg" not in (tmp_path / "runs" / "monkeys_cpu" / "manifest.csv").read_text()


def test_a_class_without_a_readable_image_is_refused(refused, photos):
    for path in (photos / "n1").iterdir():
        path.write_bytes(b"not a picture")
    assert "n1" in refused("data.skip_unreadable=true")


@pytest.mark.parametrize("command", [eval_command, predict])
def test_a_missing_run_is_named(capsys, tmp_path, command):
    more = [str(tmp_path)] if command is predict else []
    assert command.main([str(tmp_path / "nowhere"), *more]) == 2
    assert "no such run folder" in capsys.readouterr().err
    assert command.main([str(tmp_path), *more]) == 2
    assert "no trained network" in capsys.readouterr().err


def test_explore_names_a_missing_source(capsys, tmp_path):
    assert explore.main([str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["models", "optimizers", "schedules", "recipes", "settings"])
def test_lists_need_no_configuration(capsys, what):
    assert train.main(["--list", what]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 4
    assert all(len(line.split()) > 2 for line in lines)


def test_help_and_mistakes_answer_without_importing_anything_heavy():
    program = (
        "import sys; from monkeys.cli.train import main\n"
        f"code = main(['-c', {CPU!r}, '-o', 'train.epoch=1'])\n"
        "heavy = {'paddle', 'imgaug', 'cv2', 'scipy', 'sklearn', 'matplotlib', 'visualdl'} & sys.modules.keys()\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "nearest: train.epochs" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("cards", "batch", "processes"), [(4, 64, 4), (3, 64, 2), (6, 64, 4), (3, 96, 3), (2, 7, 1)])
def test_a_process_for_each_card_as_far_as_batches_divide(monkeypatch, cards, batch, processes):
    monkeypatch.setattr(train, "_cards", lambda config: cards)
    config = load_config(Path(CPU), ["train.processes=auto", f"train.batch_size={batch}"])
    assert train._processes(config) == processes


def test_more_processes_than_cards_are_refused(monkeypatch):
    monkeypatch.setattr(train, "_cards", lambda config: 2)
    with pytest.raises(UserError, match=r"train\.processes=3, but there are 2 cards"):
        train._processes(load_config(Path(CPU), ["train.processes=3"]))
    assert train._processes(load_config(Path(CPU), ["train.processes=2"])) == 2


def test_runs_are_compared_without_paddle():
    program = "import sys, monkeys.reports.comparison, monkeys.reports.sweep; sys.exit('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("tool", sorted(path.stem for path in (ROOT / "tools").glob("*.py")))
def test_every_tool_explains_itself(tool):
    done = subprocess.run(
        [sys.executable, f"tools/{tool}.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_disk_that_takes_nothing_is_named(capsys, number):
    @entry
    def command(argv):
        raise OSError(number, os.strerror(number), "out/table.csv")

    assert command([]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: out/table.csv: ")
    assert len(said.splitlines()) == 1


def test_memory_that_ran_out_is_named(capsys):
    @entry
    def command(argv):
        raise MemoryError("a long trace")

    assert command([]) == 3
    said = capsys.readouterr().err
    assert said.startswith("error: memory ran out: ")
    assert len(said.splitlines()) == 1


def test_a_folder_in_the_place_of_a_benchmarks_file_is_refused_before_anything_is_measured(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.setattr(bench, "measure", lambda *_: pytest.fail("measured"))
    assert bench.main(["--json", str(tmp_path), "--data", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_a_fault_of_the_program_is_not_called_the_disks():
    @entry
    def command(argv):
        raise FileNotFoundError(errno.ENOENT, "no such file", "template.html")

    with pytest.raises(FileNotFoundError):
        command([])


def test_options_that_do_not_go_together(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        train.main(["-c", CPU, "--resume", "auto", "--overwrite"])
    assert ended.value.code == 2
    assert "not allowed with" in capsys.readouterr().err
    assert train.main(["-c", CPU, "--out", str(tmp_path / "out")]) == 2
    assert "--out belongs to --find-lr" in capsys.readouterr().err
