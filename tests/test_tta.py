"""Test-time augmentation is the mean of the probabilities of every view."""

from __future__ import annotations

import json

import numpy as np
import paddle
import pytest
from scipy.special import softmax
from untrained import TEMPERATURE, make_run

from monkeys import assessment
from monkeys.cli import eval as eval_command
from monkeys.config import load_config
from monkeys.data.dataset import Batch
from monkeys.evaluation.calibration import fit_temperature
from monkeys.models import MODELS, build_model
from monkeys.serving.network import load_network
from monkeys.training.tta import predict_with_tta, view_sizes


@pytest.fixture
def batch() -> Batch:
    images = np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype(np.float32)
    return Batch(images, np.eye(4, dtype=np.float32), np.arange(4))


def test_the_mean_of_image_and_mirror_image(batch):
    paddle.seed(0)
    model = build_model("resnet18", 4)
    model.eval()
    views = [batch.images, batch.images[:, :, :, ::-1].copy()]
    expected = np.mean([softmax(model(paddle.to_tensor(view)).numpy(), axis=1) for view in views], axis=0)
    found = predict_with_tta(model, [batch], sizes=(32,))
    np.testing.assert_allclose(softmax(found, axis=1), expected, atol=1e-6)
    larger = predict_with_tta(model, [batch], sizes=(32, 64))
    assert np.abs(softmax(larger, axis=1) - expected).max() > 1e-6  # the scale changes something
    np.testing.assert_allclose(np.exp(larger).sum(axis=1), 1, atol=1e-5)


def test_the_larger_view_fits_the_strides_of_the_network():
    assert [view_sizes(size) for size in (64, 100, 224)] == [(64, 96), (100, 128), (224, 256)]


def test_views_that_a_network_cannot_take_are_left_out():
    assert MODELS["resnet18"].accepted((224, 256)) == (224, 256)
    assert MODELS["alexnet"].accepted((224, 256)) == MODELS["paddle_googlenet"].accepted((224, 256)) == (224,)
    assert MODELS["network_84_8153"].accepted((64, 96)) == (64,)


def test_a_mirrored_input_gives_the_same_answer(batch):
    paddle.seed(0)
    model = build_model("resnet18", 4)
    mirrored = Batch(batch.images[:, :, :, ::-1].copy(), batch.targets, batch.labels)
    np.testing.assert_allclose(
        predict_with_tta(model, [batch], (32, 64)), predict_with_tta(model, [mirrored], (32, 64)), atol=1e-4
    )


@pytest.mark.parametrize("model", ["resnet18", "plain"])
def test_eval_uses_the_sizes_that_the_network_takes(tmp_path, monkeypatch, model):
    used = []

    def noted(network, batches, sizes):
        used.append(tuple(sizes))
        return predict_with_tta(network, batches, sizes)

    monkeypatch.setattr(assessment, "predict_with_tta", noted)
    layers = "conv3-4 maxpool2 fc3 softmax" if model == "plain" else None
    _, run = make_run(tmp_path, model=model, layers=layers)
    assert eval_command.main([str(run), "--tta"]) == 0
    assert used == [(32,) if model == "plain" else (32, 64)]  # examined and calibrated by the same answers
    assert (run / "eval-val-tta" / "metrics.json").exists()


def test_the_mean_of_views_has_a_temperature_of_its_own(tmp_path):
    _, run = make_run(tmp_path)
    for arguments in ([], ["--tta"]):
        assert eval_command.main([str(run), *arguments]) == 0
    plain, views = (json.loads((run / name / "examined.json").read_text()) for name in ("eval-val", "eval-val-tta"))
    assert plain["temperature"] == TEMPERATURE
    images = assessment.own_images(run, load_config(run / "config.yaml"), "val")
    network = load_network(run)
    seen = np.stack([network.preprocess(images.root / row.path) for row in images.rows])
    labels = images.labels(network)
    logits = predict_with_tta(network.model, [Batch(seen, np.eye(3, dtype=np.float32)[labels], labels)], (32, 64))
    assert views["temperature"] == pytest.approx(fit_temperature(logits, labels), rel=1e-3)


@pytest.mark.parametrize("emptied", [False, True])
def test_other_photographs_can_be_examined_where_those_of_training_are_gone(tmp_path, caplog, emptied):
    photos, run = make_run(tmp_path)
    photos.rename(tmp_path / "others")
    if emptied:
        photos.mkdir()
    assert eval_command.main([str(run), "--data", str(tmp_path / "others"), "--tta"]) == 0
    assert "the temperature of best weights and single views" in caplog.text
    assert json.loads((run / "eval-others-tta" / "examined.json").read_text())["temperature"] == TEMPERATURE
