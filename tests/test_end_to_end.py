"""The commands as users type them, on small pictures with the real parts."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import paint
from PIL import Image
from safetensors.numpy import load_file

from monkeys.cli import eval as eval_command
from monkeys.cli import predict, train
from monkeys.config import load_config, to_yaml
from monkeys.evaluation.metrics import metrics_of, read_predictions
from monkeys.serving import Predictor
from monkeys.training.run_folder import RunFolder

ROOT = Path(__file__).parents[1]
CPU = str(ROOT / "configs" / "monkeys_cpu.yaml")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path, list[str]]:
    """(photographs, run folder, the command line that trained it)."""
    place = tmp_path_factory.mktemp("trained")
    photos = paint(place / "photos", {"n0": 16, "n1": 16, "n2": 16})
    (photos / "monkey_labels.txt").write_text(
        "Label, Latin Name , Common Name , Train Images , Validation Images\r\n"
        "n0 , a_a\t, howler , 1 , 1\r\nn1 , b_b\t, macaque , 1 , 1\r\n\r\nn2 , c_c , langur , 1 , 1\r\n"
    )
    settings = [
        *(f"data.root={photos}", f"run.dir={place / 'runs'}", f"data.cache_dir={place / 'cache'}", "data.size=32"),
        *("model.name=resnet18", "train.epochs=3", "train.batch_size=8", "augment.recipe=none"),
        *("data.val_fraction=0.25", "data.test_fraction=0.125", "optim.schedule.warmup_epochs=0"),
    ]
    command = ["-c", CPU, "-o", *settings]
    assert train.main(command) == 0
    return photos, place / "runs" / "monkeys_cpu", command


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_run_folder_keeps_its_contract(trained):
    _photos, run, _ = trained
    for name in (
        "config.yaml environment.json classes.json manifest.csv history.csv metrics.json best.safetensors best.json "
        "report.html plots/curves.png vdlrecords.monkeys.log eval-val/predictions.csv"
    ).split():
        assert (run / name).is_file(), name
    assert json.loads((run / "classes.json").read_text()) == [
        {"id": "n0", "name": "howler"},
        {"id": "n1", "name": "macaque"},
        {"id": "n2", "name": "langur"},
    ]
    manifest = rows(run / "manifest.csv")
    assert list(manifest[0])[:5] == ["path", "label", "split", "group", "digest"]
    assert {split: sum(row["split"] == split for row in manifest) for split in ("train", "val", "test")} == {
        "train": 30,
        "val": 12,
        "test": 6,
    }
    promised = "epoch step lr train_loss train_top1 val_loss val_top1 seconds img_per_s".split()
    assert list(rows(run / "history.csv")[0])[: len(promised)] == promised
    assert list(load_file(run / "best.safetensors")) == sorted(load_file(run / "best.safetensors"))
    assert json.loads((run / "best.json").read_text())["temperature"] != 1
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["selected_on_this_split"] is True
    assert metrics["n"] == 12


def test_metrics_follow_from_predictions(trained):
    _, run, _ = trained
    metrics = json.loads((run / "eval-val" / "metrics.json").read_text())
    classes = [type("Info", (), item) for item in json.loads((run / "classes.json").read_text())]
    found = metrics_of(read_predictions(run / "eval-val" / "predictions.csv"), classes, split="val", selected=True)
    assert found == metrics


def test_a_finished_run_is_left_alone(trained, capsys):
    _, run, command = trained
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert train.main([*command, "--resume", "auto"]) == 0
    assert "finished" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_finished_run_of_other_settings_is_not_taken_for_this_one(trained, capsys):
    _, run, command = trained
    before = (run / "history.csv").read_bytes()
    assert train.main([*command, "--resume", "auto", "-o", "optim.lr=0.5"]) == 2
    assert "optim.lr 0.001 then, 0.5 now" in capsys.readouterr().err
    assert (run / "history.csv").read_bytes() == before


def test_a_finished_run_does_not_go_on_because_more_steps_are_allowed(trained, capsys):
    _, _, command = trained
    assert train.main([*command, "--resume", "auto", "-o", "train.max_minutes=500"]) == 2
    assert "train.max_minutes 0.0 then, 500.0 now" in capsys.readouterr().err


def test_the_head_is_kept_where_the_record_proves_its_classes(trained, tmp_path, caplog):
    photos, run, command = trained
    others = paint(tmp_path / "photos", {"m0": 16, "m1": 16, "m2": 16})
    unknown = tmp_path / "three.safetensors"
    shutil.copy(run / "best.safetensors", unknown)
    for name, root, weights in (
        ("same", photos, run / "best.safetensors"),
        ("other", others, run / "best.safetensors"),
        ("unknown", photos, unknown),
    ):
        own = [f"run.dir={tmp_path}", f"run.name={name}", f"data.root={root}", "train.max_steps=1"]
        assert train.main([*command, *own, f"model.pretrained={weights}"]) == 0
    said = [record.getMessage() for record in caplog.records if "tensors matched" in record.getMessage()]
    assert ["perhaps for other classes" in line for line in said] == [False, True, True]


def test_weights_of_another_normalisation_are_warned_of(trained, tmp_path, caplog):
    _, run, command = trained
    for name in ("symmetric", "imagenet"):
        own = [f"run.dir={tmp_path}", f"run.name={name}", "train.max_steps=1", f"data.normalise={name}"]
        assert train.main([*command, *own, f"model.pretrained={run / 'best.safetensors'}"]) == 0
    said = [record.getMessage() for record in caplog.records if "trained with mean" in record.getMessage()]
    assert len(said) == 1
    assert "data.normalise=symmetric fits" in said[0]


def test_a_run_goes_on_without_the_weights_it_started_from(trained, tmp_path, caplog):
    _, run, command = trained
    given = tmp_path / "given.safetensors"
    shutil.copy(run / "best.safetensors", given)
    own = [*command, f"run.dir={tmp_path}", f"model.pretrained={given}"]
    assert train.main(own) == 0
    done = tmp_path / "monkeys_cpu"
    before = (done / "history.csv").read_bytes(), (done / "best.safetensors").read_bytes()
    given.unlink()
    (done / "last" / "finished.json").unlink()
    for file in sorted((done / "last").glob("step-*"))[-2:]:  # back to the checkpoint of the epoch before
        file.unlink()
    assert train.main([*own, "--resume", "auto"]) == 0
    again = [line.split(b",")[:7] for line in (done / "history.csv").read_bytes().splitlines()]
    assert again == [line.split(b",")[:7] for line in before[0].splitlines()]
    assert (done / "best.safetensors").read_bytes() == before[1]


def test_an_existing_run_is_not_overwritten_unasked(trained, capsys):
    _, run, command = trained
    before = (run / "history.csv").read_bytes()
    assert train.main(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (run / "history.csv").read_bytes() == before


def test_overwriting_replaces_a_run_and_nothing_else(trained, tmp_path):
    _, original, command = trained
    run = Path(shutil.copytree(original, tmp_path / "monkeys_cpu"))
    (run / "notes.txt").write_text("mine")
    (run / "eval-old").mkdir()
    for name in ("predictions.csv", "per_class.csv"):  # what makes it an examination
        (run / "eval-old" / name).write_text("")
    assert train.main([*command, f"run.dir={tmp_path}", "train.max_steps=1", "--overwrite"]) == 0
    assert (run / "notes.txt").read_text() == "mine"
    assert not (run / "eval-old").exists()
    assert [row["step"] for row in rows(run / "history.csv")] == ["1"]
    assert [path.stem for path in (run / "last").glob("step-*.json")] == ["step-000000001"]
    whole = {path.name for path in run.iterdir()}
    RunFolder(run).clear()
    assert {path.name for path in run.iterdir()} == {"notes.txt", ".lock"}, whole


def test_force_goes_on_with_other_settings(trained, tmp_path):
    _, original, command = trained
    run = Path(shutil.copytree(original, tmp_path / "monkeys_cpu"))
    (run / "last" / "finished.json").unlink()
    own = [*command, f"run.dir={tmp_path}", "optim.lr=0.0005"]
    assert train.main([*own, "--resume", "auto"]) == 2
    assert train.main([*own, "--resume", "force"]) == 0
    assert load_config(run / "config.yaml").optim.lr == 0.0005


@pytest.mark.parametrize("kind", ["archive", "list"])
def test_an_archive_and_a_list_are_trained_on_and_left_as_they_were(trained, tmp_path, kind):
    photos, _, command = trained
    own = Path(shutil.copytree(photos, tmp_path / "own"))
    root = own / "all.txt"
    root.write_text("".join(f"{path.relative_to(own)} {path.parent.name}\n" for path in sorted(own.rglob("*.jpg"))))
    if kind == "archive":
        root = Path(shutil.make_archive(str(own / "set"), "zip", photos))

    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}

    before = contents()
    assert train.main([*command, f"data.root={root}", f"run.dir={tmp_path}", "train.max_steps=1"]) == 0
    assert eval_command.main([str(tmp_path / "monkeys_cpu"), "--split", "test"]) == 0
    assert json.loads((tmp_path / "monkeys_cpu" / "metrics.json").read_text())["n"] == 12
    assert contents() == before


def test_the_same_seed_gives_the_same_bytes_and_the_config_can_be_fed_back(trained, tmp_path):
    _, run, _ = trained
    assert train.main(["-c", str(run / "config.yaml"), "-o", f"run.dir={tmp_path}"]) == 0
    again = tmp_path / "monkeys_cpu"
    assert (again / "best.safetensors").read_bytes() == (run / "best.safetensors").read_bytes()
    assert (again / "manifest.csv").read_bytes() == (run / "manifest.csv").read_bytes()
    assert train.main(["-c", str(run / "config.yaml"), "-o", f"run.dir={tmp_path}", "run.name=b", "run.seed=1"]) == 0
    assert (tmp_path / "b" / "best.safetensors").read_bytes() != (run / "best.safetensors").read_bytes()


def test_a_split_that_chose_nothing_says_so(trained, capsys):
    _, run, _ = trained
    assert eval_command.main([str(run), "--split", "test", "--sample", "4", "--seed", "1"]) == 0
    metrics = json.loads((run / "eval-test" / "metrics.json").read_text())
    assert (metrics["n"], metrics["selected_on_this_split"], metrics["split"]) == (4, False, "test")
    said = capsys.readouterr().out
    assert "95 % interval" in said
    assert "chosen on this split" not in said
    assert "<h2>Test" in (run / "report.html").read_text(encoding="utf-8")
    for (
        name
    ) in "predictions.csv per_class.csv confusion_matrix.csv confusion_matrix.png errors.png samples.png".split():
        assert (run / "eval-test" / name).stat().st_size > 20


def test_training_photographs_say_nothing_about_new_ones(trained, tmp_path, capsys):
    _, run, _ = trained
    assert eval_command.main([str(run), "--split", "train", "--out", str(tmp_path / "new")]) == 0
    assert "these figures say nothing about new ones" in capsys.readouterr().out


def test_validation_photographs_that_were_saved_anew_are_recognised(trained, tmp_path, capsys):
    photos, run, _ = trained
    with (run / "manifest.csv").open(newline="", encoding="utf-8") as file:
        held_out = [row for row in csv.DictReader(file) if row["split"] == "val"]
    for row in held_out:
        target = tmp_path / "anew" / row["label"] / Path(row["path"]).with_suffix(".png").name
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(photos / row["path"]) as image:
            image.resize((2 * image.width, 2 * image.height)).save(target)
    assert eval_command.main([str(run), "--data", str(tmp_path / "anew"), "--out", str(tmp_path / "out")]) == 0
    assert "chosen on this split" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["selected_on_this_split"]


def test_an_examination_does_not_move_in_with_files_of_others(trained, tmp_path, capsys):
    photos, run, _ = trained
    own = tmp_path / "own"
    own.mkdir()
    (own / "metrics.json").write_text("{}")
    for folder in (own, photos):
        before = sorted(folder.rglob("*"))
        assert eval_command.main([str(run), "--out", str(folder)]) == 2
        assert "choose another --out" in capsys.readouterr().err
        assert sorted(folder.rglob("*")) == before
    assert (own / "metrics.json").read_text() == "{}"


def test_a_seed_that_cannot_be_drawn_with_is_refused(trained, capsys):
    assert eval_command.main([str(trained[1]), "--sample", "4", "--seed", "-1"]) == 2
    assert "--seed -1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change", [{"temperature": "x"}, {"classes": ["n0", "n1", "n2"]}, {"model": {"name": "resnet18", "deepness": 3}}]
)
def test_a_damaged_record_is_named(trained, tmp_path, capsys, change):
    photos, original, _ = trained
    run = shutil.copytree(original, tmp_path / "run")
    (run / "best.json").write_text(json.dumps(json.loads((run / "best.json").read_text()) | change))
    assert predict.main([str(run), str(photos), "--out", str(tmp_path / "out.csv")]) == 2
    assert "damaged" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_other_photographs_are_matched_by_name_and_their_twins_are_counted(trained, tmp_path, caplog):
    photos, run, _ = trained
    other = tmp_path / "elsewhere"
    shutil.copytree(photos / "n2", other / "langur")  # by name, and all seen in training or held out
    paint(other, {"n0": 5, "unknown": 3}, seed=9)
    assert eval_command.main([str(run), "--data", str(other)]) == 0
    metrics = json.loads((run / "eval-elsewhere" / "metrics.json").read_text())
    seen = sum(row["label"] == "n2" and row["split"] == "train" for row in rows(run / "manifest.csv"))
    assert metrics["n"] == 21
    assert metrics["n_leak_free"] == 21 - seen
    assert "unknown" in caplog.text
    assert "no images of: n1" in caplog.text
    labels = {row["label"] for row in rows(run / "eval-elsewhere" / "predictions.csv")}
    assert labels == {"n0", "n2"}


def test_the_validation_images_under_another_path_are_still_those_that_chose(trained, tmp_path):
    photos, run, _ = trained
    (tmp_path / "elsewhere").mkdir()
    for row in rows(run / "manifest.csv"):
        if row["split"] == "val":
            copy = tmp_path / "elsewhere" / "val" / row["path"]
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(photos / row["path"], copy)
    before = (run / "eval-val" / "metrics.json").read_bytes()
    assert eval_command.main([str(run), "--data", str(tmp_path / "elsewhere" / "val")]) == 0
    metrics = json.loads((run / "eval-elsewhere-val" / "metrics.json").read_text())
    assert (metrics["split"], metrics["selected_on_this_split"]) == ("elsewhere-val", True)
    assert (run / "eval-val" / "metrics.json").read_bytes() == before


def test_without_the_training_photographs_their_copies_are_still_known(trained, tmp_path, caplog, capsys):
    photos, original, _ = trained
    run = shutil.copytree(original, tmp_path / "run")
    (run / "config.yaml").write_text(to_yaml(load_config(run / "config.yaml", [f"data.root={tmp_path / 'gone'}"], {})))
    assert eval_command.main([str(run)]) == 2
    assert f"change data.root in {run / 'config.yaml'}" in capsys.readouterr().err
    shutil.copytree(photos / "n2", tmp_path / "set.v2" / "n2")
    assert eval_command.main([str(run), "--data", str(tmp_path / "set.v2")]) == 0
    metrics = json.loads((run / "eval-set.v2" / "metrics.json").read_text())
    seen = sum(row["label"] == "n2" and row["split"] == "train" for row in rows(run / "manifest.csv"))
    assert metrics["n"] - metrics["n_leak_free"] == seen
    assert "only byte-identical copies" in caplog.text


def test_what_cannot_be_examined_of_other_photographs_is_said_and_left_out(trained, tmp_path, caplog):
    _, run, _ = trained
    other = paint(tmp_path / "mixed", {"n0": 3, "n1": 2}, seed=4)
    (other / "n2").mkdir()
    (other / "n1" / "broken.jpg").write_bytes(b"no picture")
    assert eval_command.main([str(run), "--data", str(other)]) == 0
    assert json.loads((run / "eval-mixed" / "metrics.json").read_text())["n"] == 5
    assert "n1/broken.jpg" in caplog.text
    assert "no images of: n2" in caplog.text


def test_training_photographs_that_are_others_now_are_said(trained, tmp_path, caplog):
    photos, original, _ = trained
    run = shutil.copytree(original, tmp_path / "run")
    moved = shutil.copytree(photos, tmp_path / "photos")
    (run / "config.yaml").write_text(to_yaml(load_config(run / "config.yaml", [f"data.root={moved}"], {})))
    changed = [row["path"] for row in rows(run / "manifest.csv") if row["split"] == "train"][:3]
    (moved / changed[0]).unlink()
    for path in changed[1:]:
        shutil.copy(photos / changed[0], moved / path)
    other = shutil.copytree(photos / "n0", tmp_path / "others" / "n0")
    assert eval_command.main([str(run), "--data", str(other.parent)]) == 0
    assert re.search(r"\b3 of the \d+ training images are not at .* as they were", caplog.text)


def test_photographs_without_any_known_class_are_refused(trained, tmp_path, capsys):
    _, run, _ = trained
    assert eval_command.main([str(run), "--data", str(paint(tmp_path / "x", {"cat": 3, "dog": 3}))]) == 2
    assert "none of its classes is known" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_prediction_costs_a_bad_image_its_own_row(trained, tmp_path, suffix):
    photos, run, _ = trained
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    out = tmp_path / f"predictions{suffix}"
    paths = [str(photos / "n0" / "0.jpg"), str(tmp_path / "bad.jpg"), str(photos / "n1")]
    assert predict.main([str(run), *paths, "--topk", "2", "--out", str(out)]) == 0
    found = rows(out) if suffix == ".csv" else [json.loads(line) for line in out.read_text().splitlines()]
    assert len(found) == 18
    assert [row["path"] for row in found if row.get("error")] == [str(tmp_path / "bad.jpg")]


def test_prediction_of_nothing_readable_fails(trained, tmp_path):
    _, run, _ = trained
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    assert predict.main([str(run), str(tmp_path / "bad.jpg"), "--out", str(tmp_path / "p.csv")]) == 2


def test_prediction_is_evaluation(trained):
    """The predictor and the examination say the same of the same file, to the last digits of float32."""
    photos, run, _ = trained
    predictor = Predictor(run)
    for row in rows(run / "eval-val" / "predictions.csv")[:5]:
        prediction = predictor.predict(photos / row["path"])
        assert prediction.best.id == row["predicted"]
        assert prediction.best.probability == pytest.approx(float(row["confidence"]), abs=1e-5)


def test_a_damaged_network_is_named(trained, tmp_path, capsys):
    _photos, run, _ = trained
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    (broken / "best.safetensors").write_bytes(b"\x80\x04cos\nsystem\n")
    assert eval_command.main([str(broken)]) == 2
    assert "best.safetensors is not a safetensors file" in capsys.readouterr().err


def test_pictures_can_be_opened(trained):
    _, run, _ = trained
    for path in [*run.glob("eval-val/*.png"), *run.glob("plots/*.png")]:
        assert np.asarray(Image.open(path)).std() > 1


@pytest.mark.slow
def test_the_missions_recipe_runs_two_steps_on_the_real_photographs(real_data, tmp_path):
    recipe = str(ROOT / "configs" / "monkeys_resnet50.yaml")
    settings = [f"data.root={real_data / 'monkeys'}", f"run.dir={tmp_path}", f"data.cache_dir={tmp_path / 'cache'}"]
    small = ["train.max_steps=2", "train.batch_size=16", "data.size=64", "data.workers=1"]
    assert train.main(["-c", recipe, "-o", *settings, *small]) == 0
    metrics = json.loads((tmp_path / "monkeys_resnet50" / "metrics.json").read_text())
    assert metrics["n"] > 100
    assert metrics["n_leak_free"] == metrics["n"]
