from __future__ import annotations

import multiprocessing

import pytest

from monkeys.errors import UserError
from monkeys.training.checkpoint import Checkpoints
from monkeys.training.run_folder import RunFolder


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def try_to_lock(path, queue) -> None:
    try:
        with RunFolder(path).locked():
            queue.put("locked")
    except UserError as error:
        queue.put(str(error))


def test_a_second_process_is_kept_out(folder):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with folder.locked():
        child = context.Process(target=try_to_lock, args=(folder.path, queue))
        child.start()
        assert "another process is training into" in queue.get(timeout=30)
        child.join()
    child = context.Process(target=try_to_lock, args=(folder.path, queue))
    child.start()
    assert queue.get(timeout=30) == "locked"
    child.join()


def test_a_folder_that_stays_empty_is_removed(folder):
    with pytest.raises(RuntimeError), folder.locked():
        raise RuntimeError
    assert not folder.path.exists()


def test_an_existing_run_is_refused_and_cleared_without_touching_other_files(folder):
    with folder.locked():
        folder.write_json("environment.json", {})
        (folder.path / "config.yaml").write_text("")
        (folder.path / "last").mkdir()
        (folder.path / "eval-val").mkdir()
        (folder.path / "notes.txt").write_text("mine")
        with pytest.raises(UserError, match="--resume auto"):
            folder.refuse_existing()
        folder.clear()
        folder.refuse_existing()
    assert sorted(path.name for path in folder.path.iterdir()) == [".lock", "notes.txt"]


def test_resume_refuses_what_does_not_fit_and_shows_the_difference(folder):
    Checkpoints(folder.path / "last").save(3, {}, {"fingerprint": {"classes": "a, b", "train.epochs": 3}})
    assert folder.checkpoint({"classes": "a, b", "train.epochs": 3}, {}, force=False)
    with pytest.raises(UserError, match=r"train\.epochs 3 then, 5 now"):
        folder.checkpoint({"classes": "a, b", "train.epochs": 5}, {}, force=False)
    assert folder.checkpoint({"classes": "a, b", "train.epochs": 5}, {}, force=True)


def test_finishing_is_the_last_word(folder):
    assert folder.finished == ""
    (folder.path / "last").mkdir(parents=True)
    folder.finish("all steps done")
    assert folder.finished == "all steps done"


def test_a_read_only_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="run folder"), RunFolder(tmp_path / "file" / "run").locked():
        pass


def test_a_setting_that_an_older_version_did_not_have_was_at_its_default(folder):
    Checkpoints(folder.path / "last").save(3, {}, {"fingerprint": {"train.epochs": 3}})
    defaults = {"train.epochs": 300, "augment.new": 0.5}
    assert folder.checkpoint({"train.epochs": 3, "augment.new": 0.5}, defaults, force=False)
    with pytest.raises(UserError, match=r"augment\.new 0\.5 then, 0\.9 now"):
        folder.checkpoint({"train.epochs": 3, "augment.new": 0.9}, defaults, force=False)


@pytest.mark.parametrize("name", ["plots/mine.pdf", "export/thesis.tex", "metrics.json", "eval-2024/answers.csv"])
def test_a_folder_that_was_never_a_run_is_left_alone(folder, name):
    path = folder.path / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(UserError, match=f"holds {name.partition('/')[0]}, which a run would replace"), folder.locked():
        pass
    assert [str(found.relative_to(folder.path)) for found in folder.path.rglob("*") if found.is_file()] == [name]


def test_what_a_killed_process_left_half_written_is_removed(folder):
    (folder.path / "last").mkdir(parents=True)
    for name in (".lock", ".best.json.0123abcd.tmp", "last/.step-000000003.safetensors.89ef4567.tmp", ".notes.tmp"):
        (folder.path / name).write_text("")
    with folder.locked():
        pass
    assert sorted(path.name for path in folder.path.rglob("*") if path.is_file()) == [".lock", ".notes.tmp"]


def test_no_force_gives_an_optimizer_the_state_of_another(folder):
    Checkpoints(folder.path / "last").save(3, {}, {"fingerprint": {"optim.name": "sgd", "train.epochs": 3}})
    with pytest.raises(UserError, match=r"optim\.name 'sgd' then, 'adam' now; choose another run\.name"):
        folder.checkpoint({"optim.name": "adam", "train.epochs": 3}, {}, force=True)
    assert folder.checkpoint({"optim.name": "sgd", "train.epochs": 9}, {}, force=True)


def test_what_a_run_did_not_write_survives_overwriting(tmp_path):
    run = RunFolder(tmp_path / "run")
    mine = (
        *("eval-notes/mine.txt", "eval-val.txt", "eval-val/mine.txt", "plots/thesis.pdf", "export/mine.txt"),
        *("eval-mine/metrics.json", "export/mine/README.md", "export/mine/model.py", "export/mine/model.onnx/x"),
    )
    own = (
        "config.yaml",
        "best.safetensors",
        *(f"{folder}/{name}" for folder in ("eval-val", "eval-test") for name in ("predictions.csv", "per_class.csv")),
        *("eval-test/cam.png", "export/paddle/model.json", "export/paddle/network.json"),
    )
    for name in mine + own:
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "step-000000001.json").write_text("{}")
    (run.path / "last").symlink_to(tmp_path / "elsewhere")
    run.clear()
    left = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}
    assert left == set(mine)
    assert not (run.path / "eval-test").exists()
    assert not run.checkpoint({}, {}, force=False)  # of the run before, by way of the link


def test_overwriting_leaves_what_is_linked_into_a_run(tmp_path):
    other = (
        "eval-val/predictions.csv",
        "eval-val/per_class.csv",
        "served/paddle/network.json",
        "served/paddle/README.md",
    )
    for name in other:
        (tmp_path / "other" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "other" / name).write_text("x")
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    (run.path / "config.yaml").write_text("x")
    (run.path / "eval-b").symlink_to(tmp_path / "other" / "eval-val")
    (run.path / "export").symlink_to(tmp_path / "other" / "served")
    run.clear()
    assert not run.holds_run
    assert all((tmp_path / "other" / name).exists() for name in other)
