"""Recipes by name, in both engines: determinism, shapes, global state, and the report's own numbers."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import astuple

import imgaug.random
import numpy as np
import pytest
from test_fast import picture

from monkeys.augment import RECIPES, build_recipe
from monkeys.augment import operations as op
from monkeys.augment.fast import fast_augmenter
from monkeys.augment.pairs import operations_of
from monkeys.augment.plans import IMAGENETTE, PLANS, REPORT
from monkeys.augment.recipes import imgaug_augmenter
from monkeys.errors import UserError

ENGINES = ("fast", "imgaug")
RANDOM = [name for name in RECIPES if name != "none"]


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    return np.random.default_rng([seed, epoch, index])


def test_names_are_listed_without_heavy_imports() -> None:
    code = (
        "import sys, monkeys.augment, monkeys.augment.mix; print({'cv2', 'imgaug', 'scipy', 'paddle'} & {*sys.modules})"
    )
    assert python(code) == "set()"


def test_fast_engine_does_without_imgaug() -> None:
    code = "import sys, monkeys.augment as a; a.build_recipe('report'); print({'imgaug', 'skimage'} & {*sys.modules})"
    assert python(code) == "set()"


def test_every_name_has_a_plan_and_a_summary() -> None:
    assert list(RECIPES) == list(PLANS)
    assert all(summary and "\n" not in summary for summary in RECIPES.values())


@pytest.mark.parametrize(("name", "engine"), [("raport", "fast"), ("report", "torch"), ("", "imgaug")])
def test_unknown_names_are_refused_with_the_list(name: str, engine: str) -> None:
    with pytest.raises(UserError) as caught:
        build_recipe(name, engine)
    listed = RECIPES if engine != "torch" else ENGINES
    assert all(known in str(caught.value) for known in listed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_none_changes_nothing(engine: str) -> None:
    image = picture(20, 30)
    assert np.array_equal(build_recipe("none", engine)(image, rng(0, 0, 0)), image)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", RANDOM)
def test_same_seed_epoch_and_index_give_the_same_bits(name: str, engine: str) -> None:
    image = picture(40, 40)
    first, second = build_recipe(name, engine), build_recipe(name, engine)
    alone = [first(image, rng(7, epoch, index)) for epoch in range(3) for index in range(4)]
    # The other way round, from another copy that has already been used: nothing is carried from image to image.
    second(picture(25, 31), rng(1, 1, 1))
    again = [second(image, rng(7, epoch, index)) for epoch in reversed(range(3)) for index in reversed(range(4))]
    assert all(np.array_equal(a, b) for a, b in zip(alone, reversed(again), strict=True))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", RANDOM)
def test_epochs_and_images_draw_differently(name: str, engine: str) -> None:
    image, run = picture(40, 40), build_recipe(name, engine)
    seen = {run(image, rng(0, epoch, index)).tobytes() for epoch in range(4) for index in range(8)}
    assert len(seen) >= 28  # `report` leaves an image alone now and then


@pytest.mark.parametrize(
    ("engine", "size"),
    [("fast", (1, 1)), ("fast", (1, 6)), ("fast", (7, 2))]
    + [(engine, size) for engine in ENGINES for size in ((8, 8), (8, 29), (33, 17), (180, 240))],
)
@pytest.mark.parametrize("name", list(RECIPES))
def test_shape_type_and_layout_are_kept(name: str, engine: str, size: tuple[int, int]) -> None:
    image, run = picture(*size), build_recipe(name, engine)
    image.setflags(write=False)
    before = image.copy()
    for index in range(10):
        after = run(image, rng(0, 0, index))
        assert (after.shape, after.dtype, after.flags.c_contiguous) == (image.shape, np.uint8, True)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("engine", ENGINES)
def test_strided_images_give_what_their_copies_give(engine: str) -> None:
    image, run = picture(64, 64)[::2, ::-2], build_recipe("report", engine)
    for index in range(5):
        assert np.array_equal(run(image, rng(0, 0, index)), run(image.copy(), rng(0, 0, index)))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", RANDOM)
def test_no_global_generator_is_touched(name: str, engine: str) -> None:
    imgaug_state = imgaug.random.get_global_rng().state
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    run = build_recipe(name, engine)
    for index in range(10):
        run(picture(24, 24), rng(0, 0, index))
    assert repr(imgaug.random.get_global_rng().state) == repr(imgaug_state)
    assert repr(np.random.get_state()) == repr(numpy_state)  # noqa: NPY002
    assert random.getstate() == python_state


def test_imgaugs_global_generator_is_not_even_made() -> None:
    code = """
import numpy as np
before = repr(np.random.get_state())
from monkeys.augment import build_recipe
run = build_recipe("report", "imgaug")
for seed in range(5):
    run(np.zeros((20, 20, 3), np.uint8), np.random.default_rng(seed))
import imgaug.random
print(imgaug.random.GLOBAL_RNG is None, repr(np.random.get_state()) == before)
"""
    assert python(code) == "True True"


@pytest.mark.parametrize("operation", [o for plan in PLANS.values() for o in operations_of(plan)], ids=repr)
def test_every_imgaug_augmenter_in_use_runs_and_changes_the_image(operation: op.Operation) -> None:
    image, run = picture(48, 40), imgaug_augmenter(operation)
    after = [run(image, rng(0, 0, index)) for index in range(20)]
    assert all((each.shape, each.dtype) == (image.shape, np.uint8) for each in after)
    assert any(not np.array_equal(each, image) for each in after)


def _under(node: op.Node, p: float = 1.0) -> Iterator[tuple[op.Operation, float]]:
    """The operations below a node, with the probability of each once the node is reached."""
    if isinstance(node, op.Operation):
        yield node, p
    elif isinstance(node, op.Sometimes):
        yield from _under(node.child, p * node.p)
    else:
        share = (node.count.low + node.count.high) / 2 / len(node.children) if isinstance(node, op.SomeOf) else 1.0
        for child in node.children:
            yield from _under(child, p * share)


def test_report_is_the_authors_pipeline_to_the_letter() -> None:
    one = 2.5 / 12  # nought to five of twelve
    borders = ("constant", "edge", "symmetric", "reflect", "wrap")
    affine = ((0.8, 1.2), True, (-0.2, 0.2), (-45, 45), (-16, 16), (0, 1), (0, 255), borders)
    assert REPORT.shuffled
    assert [(type(o).__name__, *astuple(o), pytest.approx(p)) for o, p in _under(REPORT)] == [
        ("Flip", False, 0.5, 1),
        ("Flip", True, 0.2, 1),
        ("Crop", (0, 0.1), 0.5),
        ("Affine", *affine, 0.5),
        ("Superpixels", (0, 1), (20, 200), one / 2),
        ("GaussianBlur", (0, 3), one / 3),
        ("AverageBlur", (2, 7), one / 3),
        ("MedianBlur", (3, 11), one / 3),
        ("Sharpen", (0, 1), (0.75, 1.5), one),
        ("Emboss", (0, 1), (0, 2), one),
        ("EdgeDetect", (0, 0.7), one / 4),
        ("DirectedEdgeDetect", (0, 0.7), (0, 1), one / 4),
        ("GaussianNoise", (0, 12.75), 0.5, one),
        ("Dropout", (0.01, 0.1), 0.5, one / 2),
        ("CoarseDropout", (0.03, 0.15), (0.02, 0.05), 0.2, one / 2),
        ("Add", (-10, 10), 0.5, one),
        ("Multiply", (0.5, 1.5), 0.5, one),
        ("Contrast", (0.5, 2), 0.5, one),
        ("Elastic", (0.5, 3.5), 0.25, one / 2),
        ("PiecewiseAffine", (0.01, 0.05), (2, 4), (2, 4), one / 2),
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_imagenette_moves_by_thirty_pixels_of_224_at_most(engine: str) -> None:
    assert IMAGENETTE.shift.high * 224 == pytest.approx(30)
    dot = np.zeros((224, 224, 3), np.uint8)
    dot[110:115, 110:115] = 255
    places = []
    for index in range(60):
        after = build_recipe("imagenette", engine)(dot, rng(3, 0, index))[..., 0].astype(float)
        places.append([(after.sum(axis=axis) * np.arange(224)).sum() / after.sum() - 111.5 for axis in (0, 1)])
    assert 25 < np.abs(places).max() < 31.5


def test_light_keeps_most_of_the_picture_and_crop_less() -> None:
    y, x = np.mgrid[:200, :200]
    ramp = np.dstack([x, y, x]).astype(np.uint8)
    spans = {}
    for name, plan in PLANS.items():
        if name in ("light", "crop"):
            run = fast_augmenter(plan.children[0])
            spans[name] = [np.ptp(run(ramp, rng(0, 0, index)), axis=(0, 1))[:2].prod() / 199**2 for index in range(150)]
    assert 0.66 < min(spans["light"]) < 0.74
    assert 0.32 < min(spans["crop"]) < 0.4
    assert max(spans["crop"]) > 0.95
