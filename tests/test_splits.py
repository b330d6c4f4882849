"""Splits: exact fractions, whole groups, both sides of every class, stability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from monkeys.data.splits import draw, draw_fold, quotas
from monkeys.errors import UserError


def _set(counts: dict[str, int]) -> tuple[list[str], list[str]]:
    labels = [label for label, count in counts.items() for _ in range(count)]
    return labels, [f"g{index}" for index in range(len(labels))]


def test_fraction_is_met_exactly_per_class_without_copies() -> None:
    labels, groups = _set({"a": 100, "b": 40, "c": 7})
    held_out = draw(labels, groups, quotas(labels, 0.15), seed=0, purpose="val")
    assert {label: int(held_out[np.array(labels) == label].sum()) for label in "abc"} == {"a": 15, "b": 6, "c": 1}


def test_copies_stay_together() -> None:
    labels, groups = ["a"] * 40 + ["b"] * 40, [f"g{index // 4}" for index in range(80)]
    held_out = draw(labels, groups, quotas(labels, 0.25), seed=3, purpose="val")
    assert not {g for g, h in zip(groups, held_out, strict=True) if h} & {
        g for g, h in zip(groups, held_out, strict=True) if not h
    }
    assert held_out[:40].sum() == 8  # two groups of four; a third would exceed the ten wanted


def test_every_class_with_two_groups_is_on_both_sides() -> None:
    labels, groups = ["a"] * 9 + ["b"] * 4, ["x"] * 8 + ["y"] + ["z"] * 4
    held_out = draw(labels, groups, quotas(labels, 0.1), seed=0, purpose="val")
    assert [g for g, h in zip(groups, held_out, strict=True) if h] == ["y"]  # b has one group only
    assert draw(labels, groups, quotas(labels, 0.95), seed=0, purpose="val")[:9].sum() in (1, 8)


def test_pictures_with_two_labels_stay_in_training() -> None:
    labels, groups = ["a", "b"] * 10, [f"g{index // 2}" for index in range(20)]
    assert not draw(labels, groups, quotas(labels, 0.5), seed=0, purpose="val").any()


def test_seed_and_purpose_change_the_draw_and_order_of_files_does_not() -> None:
    labels, groups = _set({"a": 60, "b": 60})

    def chosen(seed: int, purpose: str, order: list[int]) -> set[str]:
        mixed = [groups[i] for i in order]
        held_out = draw([labels[i] for i in order], mixed, quotas(labels, 0.2), seed=seed, purpose=purpose)
        return {group for group, held in zip(mixed, held_out, strict=True) if held}

    straight, back = list(range(120)), list(range(119, -1, -1))
    assert chosen(0, "val", straight) == chosen(0, "val", back)
    assert chosen(0, "val", straight) != chosen(1, "val", straight)
    assert chosen(0, "val", straight) != chosen(0, "test", straight)


def test_a_new_photograph_moves_few_others() -> None:
    labels, groups = _set({"a": 200})
    before = draw(labels, groups, quotas(labels, 0.2), seed=0, purpose="val")
    more, names = [*labels, *["a"] * 5], [*groups, "n1", "n2", "n3", "n4", "n5"]
    after = draw(more, names, quotas(more, 0.2), seed=0, purpose="val")
    assert (before != after[:200]).sum() <= 5


def test_no_fraction_no_pictures() -> None:
    assert quotas(["a", "b"], 0.0) == {}
    assert not draw(["a", "a"], ["x", "y"], {}, seed=0, purpose="test").any()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), min_size=1, max_size=60),
    st.floats(0.01, 0.9),
    st.integers(0, 5),
)
def test_whole_groups_and_something_left_whatever_the_set(
    rows: list[tuple[str, int]], fraction: float, seed: int
) -> None:
    labels, groups = [label for label, _ in rows], [f"{group}" for _, group in rows]
    held_out = draw(labels, groups, quotas(labels, fraction), seed=seed, purpose="val")
    inside = {g for g, h in zip(groups, held_out, strict=True) if h}
    assert not inside & {g for g, h in zip(groups, held_out, strict=True) if not h}
    for label in set(labels):
        own = held_out[np.array(labels) == label]
        pure = {g for g in groups if {la for la, gr in rows if f"{gr}" == g} == {label}}
        assert not own.all()
        assert own.any() == (len(pure) >= 2)


def test_fold_is_scikit_learns_own() -> None:
    rng = np.random.default_rng(0)
    labels = [f"n{index}" for index in rng.integers(0, 4, 200)]
    groups = [f"{label}-{index // 2}" for index, label in enumerate(labels)]
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=7)
    classes = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    expected = list(splitter.split(labels, [classes[la] for la in labels], [numbers[g] for g in groups]))
    folds = [draw_fold(labels, groups, 5, fold, seed=7) for fold in range(5)]
    for fold, (_, held_out) in zip(folds, expected, strict=True):
        assert np.flatnonzero(fold).tolist() == held_out.tolist()
    assert np.sum(folds, axis=0).tolist() == [1] * 200


def test_too_many_folds_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UserError, match=r"data\.folds=9"):
        draw_fold(["a", "a", "b", "b"], list("wxyz"), 9, 0, seed=0)
    draw_fold(["a"] * 8 + ["b"], [str(index) for index in range(9)], 4, 0, seed=0)
    draw_fold(["a"] * 8 + ["b"], [str(index) for index in range(9)], 4, 1, seed=0)
    assert "holds no images of: b" in caplog.text


def test_no_fold_takes_a_picture_with_two_labels() -> None:
    labels, groups = ["a", "b"] * 20, [str(index) for index in range(40)]
    groups[11] = groups[10]
    held_out = np.array([draw_fold(labels, groups, 5, fold, seed=0) for fold in range(5)])
    assert not held_out[:, 10:12].any()
    assert held_out.sum(axis=0).tolist() == [1] * 10 + [0, 0] + [1] * 28


@pytest.mark.parametrize("fold", range(3))
def test_no_fold_takes_all_of_a_class(fold: int, caplog: pytest.LogCaptureFixture) -> None:
    labels = ["a"] * 6 + ["c"] * 6 + ["b"] + ["d", "d", "e"]
    groups = [str(index) for index in range(13)] + ["twins", "twins", "twins"]
    held_out = draw_fold(labels, groups, 3, fold, seed=0)
    assert {label for label, out in zip(labels, held_out, strict=True) if not out} == set("abcde")
    assert not held_out[12:].any()
    assert held_out.any()
    assert "holds no images of: b, d, e" in caplog.text
