"""The examples of CONTRIBUTING.md, taken out of the page and run."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from monkeys import augment, models, optim
from monkeys.augment import plans
from monkeys.evaluation.metrics import Predictions, answers
from monkeys.models import plain

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MOST_LINES = 5


def examples() -> dict[str, str]:
    """Heading -> the Python below it."""
    return dict(re.findall(r"^### ([^\n]+)\n[^#]*?^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def run(tmp_path):
    """Runs the example below a heading; the project's tables are as before afterwards."""
    tables: list[dict[str, Any]] = [models.MODELS, plain.NETWORKS, augment.RECIPES, plans.PLANS]
    before = [dict(table) for table in tables]

    def running(heading: str) -> dict[str, Any]:
        path = tmp_path / "example.py"
        path.write_text(examples()[heading], encoding="utf-8")
        return runpy.run_path(str(path))

    yield running
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)


def test_each_example_is_five_lines():
    assert list(examples()) == ["A model", "An augmentation recipe", "An optimizer", "A metric"]
    for heading, code in examples().items():
        assert len([line for line in code.splitlines() if line.strip()]) <= MOST_LINES, heading


def test_the_model(run):
    model = run("A model")["model"]
    assert model(paddle.zeros([2, 3, 32, 32])).shape == [2, 3]
    assert models.head_prefixes(model) == ("head.",)


def test_the_recipe(run):
    flip = run("An augmentation recipe")["augment"]
    image = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    seen = {flip(image, np.random.default_rng(seed)).tobytes() for seed in range(40)}
    assert len(seen) == 4
    assert augment.build_recipe("flips", "imgaug")(image, np.random.default_rng(0)).shape == image.shape


def test_the_optimizer(run, monkeypatch):
    made = run("An optimizer")["SignOfMean"]
    makers = optim._makers
    monkeypatch.setitem(optim.OPTIMIZERS, "sign_of_mean", "steps of one length")
    monkeypatch.setattr(optim, "_makers", lambda *settings: {**makers(*settings), "sign_of_mean": made})
    model = paddle.nn.Linear(4, 2)
    before = model.weight.numpy()
    rule = optim.build_optimizer("sign_of_mean", model, lr=0.25)
    model(paddle.ones([1, 4])).sum().backward()
    rule.step()
    np.testing.assert_allclose(model.weight.numpy(), before - 0.25, rtol=1e-6)
    assert any("moment1" in key for key in rule.state_dict())


def test_the_metric(run):
    metric = run("A metric")["mean_confidence"]
    logits = np.log(np.array([[0.9, 0.1], [0.3, 0.7]], np.float32))
    found = Predictions(("a", "b"), np.array([0, 0]), logits, np.array([True, True]))
    classes = [type("Info", (), {"id": name, "name": name}) for name in ("n0", "n1")]
    assert metric(answers(found, classes)) == pytest.approx(0.8, abs=1e-6)


def test_what_the_page_names_exists():
    for name in re.findall(r"`((?:monkeys|tests|tools|docs)/[\w./]+\.\w+)`", PAGE):
        assert (ROOT / name).exists(), name
    for name in ("NETWORKS", "MODELS", "PLANS", "RECIPES", "OPTIMIZERS", "_makers", "metrics_of"):
        assert f"`{name}`" in PAGE
