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
