from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, log_loss, top_k_accuracy_score

from monkeys.errors import UserError
from monkeys.evaluation.metrics import (
    Predictions,
    answers,
    calibration_error,
    confusion,
    evaluate_predictions,
    leak_free_words,
    mcnemar,
    metrics_of,
    read_predictions,
    reliability,
    softmax,
    wilson,
    write_predictions,
)


@dataclass(frozen=True)
class Info:
    id: str
    name: str


CLASSES = tuple(Info(f"n{index}", f"monkey {index}") for index in range(7))


def predictions(count: int = 60, classes: int = 7, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    logits = rng.normal(0, 2, (count, classes)).astype(np.float32)
    logits[np.arange(count), labels] += 2
    return Predictions(tuple(f"a/{i}, ü.jpg" for i in range(count)), labels, logits, rng.random(count) < 0.8)


def test_metrics_agree_with_scikit_learn():
    given_ = predictions()
    found = evaluate_predictions(given_, CLASSES, split="val", selected=True)
    probabilities, labels = softmax(given_.logits), given_.labels
    guessed = probabilities.argmax(axis=1)
    assert found["top1"] == pytest.approx((guessed == labels).mean())
    assert found["top5"] == pytest.approx(top_k_accuracy_score(labels, probabilities, k=5))
    assert found["loss"] == pytest.approx(log_loss(labels, probabilities, labels=range(7)))
    assert found["macro_f1"] == pytest.approx(f1_score(labels, guessed, average="macro"))
    free = given_.leak_free
    assert found["n_leak_free"] == free.sum()
    assert found["top1_leak_free"] == pytest.approx((guessed == labels)[free].mean())
    assert found["selected_on_this_split"] is True


def test_the_contract_of_metrics_json():
    found = evaluate_predictions(predictions(), CLASSES, split="val", selected=False)
    promised = (
        "split n top1 top1_low top1_high top5 loss macro_f1 n_leak_free top1_leak_free selected_on_this_split per_class"
    )
    assert set(promised.split()) <= found.keys()
    assert len(found["per_class"]) == len(CLASSES)


def test_metrics_are_computed_again_from_the_file_to_the_last_digit(tmp_path):
    given_ = predictions()
    found = evaluate_predictions(given_, CLASSES, split="val", selected=False, temperature=1.7)
    path = tmp_path / "predictions.csv"
    write_predictions(path, answers(given_, CLASSES, 1.7))
    assert metrics_of(read_predictions(path), CLASSES, split="val", selected=False) == found


@given(st.lists(st.binary(min_size=1).filter(lambda name: not set(name) & {0, 13}), min_size=1, max_size=5))
def test_file_names_read_back_even_where_they_are_no_text(names):
    paths, given_ = map(os.fsdecode, names), predictions(len(names))
    rows = answers(Predictions(tuple(paths), given_.labels, given_.logits, given_.leak_free), CLASSES)
    with tempfile.TemporaryDirectory() as folder:
        write_predictions(Path(folder) / "predictions.csv", rows)
        assert read_predictions(Path(folder) / "predictions.csv") == rows


@pytest.mark.parametrize(
    "text", [None, "", "path,label\na,n0\n", "path,label,predicted,confidence,loss,leak_free\na,n0,n0,much,0.1,1\n"]
)
def test_a_file_of_something_else_is_refused_with_its_name(tmp_path, text):
    path = tmp_path / "predictions.csv"
    if text:
        path.write_text(text, encoding="utf-8")
    elif text == "":
        path.write_bytes(b'path,label\n\x00"')
    with pytest.raises(UserError, match=r"predictions\.csv"):
        read_predictions(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_no_numbers_are_refused_by_name(value):
    given_ = predictions()
    given_.logits[7, 2] = value
    with pytest.raises(UserError, match=r"a/7, ü\.jpg.*1 of 60"):
        answers(given_, CLASSES)


def test_no_predictions_have_no_metrics():
    with pytest.raises(ValueError, match="no predictions"):
        metrics_of([], CLASSES, split="val", selected=False)


def test_a_class_without_images_knows_nothing_of_its_recall():
    given_ = predictions()
    only = given_.labels != 3
    some = Predictions(
        tuple(np.array(given_.paths)[only]), given_.labels[only], given_.logits[only], given_.leak_free[only]
    )
    row = evaluate_predictions(some, CLASSES, split="val", selected=False)["per_class"][3]
    assert (row["support"], row["recall_low"], row["recall_high"]) == (0, 0.0, 1.0)


def test_top_five_is_capped_at_the_number_of_classes():
    found = evaluate_predictions(predictions(classes=3), CLASSES[:3], split="val", selected=False)
    assert found["top5"] == 1.0


def test_nothing_leak_free_is_null():
    given_ = predictions()
    leaky = Predictions(given_.paths, given_.labels, given_.logits, np.zeros(60, bool))
    found = evaluate_predictions(leaky, CLASSES, split="val", selected=False)
    assert (found["n_leak_free"], found["top1_leak_free"]) == (0, None)
    assert "say nothing about new ones" in leak_free_words(found)


def test_leak_free_accuracy_is_said_where_it_is_another():
    assert leak_free_words({"n": 4, "n_leak_free": 4, "top1_leak_free": 0.5}) == ""
    said = leak_free_words({"n": 4, "n_leak_free": 3, "top1_leak_free": 1 / 3})
    assert said.startswith("leak-free top-1 33.3% on the 3 images")


def test_enormous_logits_do_not_overflow():
    probabilities = softmax(np.array([[1e4, -1e4], [0, 0]], np.float32))
    np.testing.assert_allclose(probabilities, [[1, 0], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("right", "count", "low", "high"), [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (8, 10, 0.4902, 0.9433)]
)
def test_wilson_intervals_are_the_published_ones(right, count, low, high):
    assert wilson(right, count) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_proportion(counts):
    right, count = counts
    low, high = wilson(right, count)
    assert 0 <= low <= right / count <= high <= 1


def test_confusion_counts_true_by_predicted():
    given_ = predictions()
    matrix = confusion(answers(given_, CLASSES), CLASSES)
    np.testing.assert_array_equal(matrix.sum(axis=1), np.bincount(given_.labels, minlength=7))
    assert matrix.trace() == (given_.logits.argmax(axis=1) == given_.labels).sum()


def test_calibration_error_of_a_known_case():
    """Confidence 0.9 and right half of the time: the gap is 0.4."""
    logits = np.tile(np.log([[0.9, 0.1]]), (10, 1)).astype(np.float32)
    rows = answers(Predictions(("x",) * 10, np.arange(10) % 2, logits, np.ones(10, bool)), CLASSES[:2])
    assert calibration_error(rows) == pytest.approx(0.4, abs=1e-6)
    (only,) = reliability(rows)
    assert (only["accuracy"], only["count"]) == (0.5, 10)
    assert only["confidence"] == pytest.approx(0.9)
    assert (only["accuracy_low"], only["accuracy_high"]) == wilson(5, 10)


def test_mcnemar_looks_at_disagreements_alone():
    a = [True] * 50 + [True] * 9 + [False] * 1
    b = [True] * 50 + [False] * 9 + [True] * 1
    assert mcnemar(a, b) == pytest.approx(0.021484375)
    assert mcnemar(a, a) == 1.0
