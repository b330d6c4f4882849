"""Every way to run a network gives the same answer to the same file."""

from __future__ import annotations

import csv
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from untrained import TEMPERATURE, make_run

from monkeys import runtime
from monkeys.cli import eval as eval_command
from monkeys.cli import predict as predict_command
from monkeys.config import load_config
from monkeys.evaluation.predictions import softmax
from monkeys.serving import Predictor, check, engine
from monkeys.serving.engine import Inference, export_folder, open_exported, read_export
from monkeys.serving.export import export, open_inference
from monkeys.serving.held_out import batches, read_manifest
from monkeys.serving.network import load_network
from monkeys.training.engine import predict

LOGITS, PROBABILITIES = 1e-4, 1e-5  # largest differences in float32, of logits near 1
NO_BF16 = frozenset({"avx512f"})


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Path]:
    """A ResNet: batch norms are folded away by the fast engine."""
    return make_run(tmp_path_factory.mktemp("engine"))


@pytest.fixture
def exact(monkeypatch):
    """A processor without bfloat16."""
    cpu = runtime.Cpu("", "", NO_BF16, runtime.usable_cores())
    monkeypatch.setattr(runtime.Cpu, "read", staticmethod(lambda: cpu))


@pytest.fixture
def run(made, tmp_path) -> Path:
    copy = tmp_path / "run"
    shutil.copytree(made[1], copy)
    return copy


def confidences(path: Path) -> dict[str, tuple[str, float]]:
    with path.open(newline="") as file:
        return {row["path"]: (row["predicted"], float(row["confidence"])) for row in csv.DictReader(file)}


def test_one_file_one_answer(made, run, exact, tmp_path):
    """Training's evaluation, the export, both predictors, both examinations and both predictions."""
    photos, _ = made
    config, network = load_config(run / "config.yaml"), load_network(run)
    manifest = read_manifest(run, config)
    found = list(batches(network, manifest.of("val"), manifest.root, config))
    trained = predict(network.model, found)
    exported = np.concatenate([open_inference(run)(batch.images) for batch in found])
    np.testing.assert_allclose(exported, trained, atol=LOGITS * np.abs(trained).max())
    assert np.ptp(trained) > 0.1  # pictures differ, classes differ
    expected = softmax(trained / TEMPERATURE)

    tables = {}
    for kind in ("dygraph", "inference"):
        assert eval_command.main([str(run), "--engine", kind, "--out", str(tmp_path / kind)]) == 0
        tables[f"eval {kind}"] = confidences(tmp_path / kind / "predictions.csv")
        paths = [str(photos / row.path) for row in manifest.of("val")]
        out = tmp_path / f"{kind}.csv"
        assert predict_command.main([str(run), *paths, "--engine", kind, "--out", str(out)]) == 0
        tables[f"predict {kind}"] = {str(Path(k).relative_to(photos)): v for k, v in confidences(out).items()}
    predictors = [Predictor(run), Predictor(run, engine="inference"), Predictor(export_folder(run))]
    for row, probabilities in zip(manifest.of("val"), expected, strict=True):
        label, confidence = network.class_ids[probabilities.argmax()], probabilities.max()
        for name, table in tables.items():
            assert table[row.path] == (label, pytest.approx(confidence, abs=PROBABILITIES)), name
        for predictor in predictors:
            best = predictor.predict(photos / row.path).best
            assert (best.id, best.probability) == (label, pytest.approx(confidence, abs=PROBABILITIES))


def test_the_first_use_exports_and_says_so(run, exact, caplog):
    caplog.set_level(logging.INFO, "monkeys")
    Predictor(run, engine="inference")
    assert "is missing: exporting first" in caplog.text
    caplog.clear()
    Predictor(run, engine="inference")
    assert "exporting" not in caplog.text
    assert "oneDNN, fp32" in caplog.text
    record = (run / "export" / "paddle" / "network.json").read_text()
    (run / "export" / "paddle" / "network.json").write_text(
        record.replace('"weights_sha256": "', '"weights_sha256": "0')
    )
    Predictor(run, engine="inference")
    assert "is of other weights: exporting first" in caplog.text


def test_batches_of_any_size_and_threads_do_not_mix(run, exact):
    asked = open_inference(run)
    images = np.random.default_rng(1).normal(size=(12, 3, 32, 32)).astype(np.float32)
    expected = asked(images)
    for size in (1, 5, 12, 1):
        parts = [asked(images[first : first + size]) for first in range(0, 12, size)]
        np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-4)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda index: asked(images[index : index + 1])[0], [*range(12)] * 4))
    np.testing.assert_allclose(found, np.concatenate([expected] * 4), atol=1e-4)


@pytest.mark.skipif(not engine.has_bf16(), reason="this processor has no bfloat16")
def test_bf16_is_near_and_used_only_where_it_was_checked(run, monkeypatch):
    record = export(run, "paddle").record
    assert record["bf16"]["images"] == 12
    folder = export_folder(run)
    images = np.random.default_rng(1).normal(size=(4, 3, 32, 32)).astype(np.float32)
    exact, fast = Inference(folder)(images), Inference(folder, bf16=True)(images)
    assert 0 < np.abs(exact - fast).max() < 0.1 * np.abs(exact).max()
    assert "bf16" in open_exported(folder, record | {"bf16": {"use": True}}).kind
    assert "fp32" in open_exported(folder, record | {"bf16": {"use": False}}).kind

    def refuse(self):
        raise RuntimeError("not compiled")

    from paddle import inference

    monkeypatch.setattr(inference.Config, "enable_mkldnn_bfloat16", refuse)
    assert "fp32" in open_exported(folder, record | {"bf16": {"use": True}}).kind


def test_a_processor_without_bf16_takes_fp32(run, exact):
    record = export(run, "paddle").record
    assert record["bf16"]["use"] is False
    assert "fp32" in open_exported(export_folder(run), read_export(export_folder(run)) | {"bf16": {"use": True}}).kind
    with pytest.raises(RuntimeError, match="bfloat16"):
        Inference(export_folder(run), bf16=True)


@pytest.mark.parametrize(("flipped", "use"), [(0, True), (1, True), (2, False)])
def test_bf16_must_agree_on_199_of_200(flipped, use):
    def first(images):
        return np.tile([1.0, 0.0], (len(images), 1))

    def other(images):
        logits = first(images)
        wrong = images[:, 0] < flipped
        logits[wrong] = logits[wrong, ::-1]
        return logits

    pictures = np.arange(200)[:, None]
    examples = check.Examples("pictures", True, pictures, lambda: [pictures[:64], pictures[64:]])
    judged = check.judge(first, other, examples)
    assert (judged["use"], judged["images"]) == (use, 200)
    assert judged["agreement"] == pytest.approx(1 - flipped / 200)


def test_views_of_other_sizes_are_refused(run, capsys):
    assert eval_command.main([str(run), "--engine", "inference", "--tta"]) == 2
    assert "--tta" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["googlenet", "efficientnet_b0", "mobilenet_v2"])
def test_other_networks_are_exported(tmp_path, name, exact):
    _, run = make_run(tmp_path, model=name)
    assert export(run, "paddle").record["check"]["same_top1"] == 12
