"""Held-out pictures are drawn by groups and by class: no picture and its twin on both sides, every class on both."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UserError

log = logging.getLogger("monkeys")


@dataclass(frozen=True)
class Plan:
    """How images without a split of their own are divided: one of `folds`, or fractions of each class."""

    val_fraction: float = 0.15
    test_fraction: float = 0.0
    folds: int | None = None
    fold: int = 0
    seed: int = 0


def divide(labels: Sequence[str], groups: Sequence[str], splits: Sequence[str], plan: Plan) -> list[str]:
    """Splits with the missing ones drawn from training, test first; `train` and empty splits are drawn from."""
    divided = [split or "train" for split in splits]
    pool = [label for label, split in zip(labels, divided, strict=True) if split == "train"]

    def assign(split: str, choose: Callable[[list[str], list[str]], np.ndarray]) -> None:
        free = [index for index, current in enumerate(divided) if current == "train"]
        held_out = choose([labels[index] for index in free], [groups[index] for index in free])
        for index in np.array(free, dtype=np.int64)[held_out].tolist():
            divided[index] = split

    if "test" not in splits and plan.test_fraction:
        wanted = quotas(pool, plan.test_fraction)
        assign("test", lambda la, gr: draw(la, gr, wanted, seed=plan.seed, purpose="test"))
    if "val" not in splits and plan.folds:
        folds = plan.folds
        assign("val", lambda la, gr: draw_fold(la, gr, folds, plan.fold, seed=plan.seed))
    elif "val" not in splits:
        wanted_val = quotas(pool, plan.val_fraction)
        assign("val", lambda la, gr: draw(la, gr, wanted_val, seed=plan.seed, purpose="val"))
    return divided


def draw(
    labels: Sequence[str], groups: Sequence[str], wanted: dict[str, int], *, seed: int, purpose: str
) -> np.ndarray:
    """[N] bool: which pictures are held out, at most wanted[label] of each class, in whole groups.

    Groups come in the order of a hash of seed, purpose and group, so that more photographs move few of the others from
    side to side. A group is taken when it still fits; a class with two groups or more gets one at least and keeps one.
    Groups that carry several labels stay in training: one of the labels is wrong.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    by_class: dict[str, list[str]] = defaultdict(list)
    for group, indices in members.items():
        if len({labels[index] for index in indices}) == 1:
            by_class[labels[indices[0]]].append(group)
    held_out = np.zeros(len(labels), bool)
    for label, names in by_class.items():
        order = sorted(names, key=lambda group: hashlib.sha256(f"{seed}/{purpose}/{group}".encode(*_ANY)).digest())
        for group in _fill(order, {name: len(members[name]) for name in names}, wanted.get(label, 0)):
            held_out[members[group]] = True
    return held_out


def _fill(order: list[str], sizes: dict[str, int], wanted: int) -> list[str]:
    """Groups of one class, first come first served; the smallest alone where none fits."""
    if len(order) < 2 or wanted <= 0:
        return []
    taken: list[str] = []
    for group in order:
        if sizes[group] <= wanted and len(taken) < len(order) - 1:
            taken.append(group)
            wanted -= sizes[group]
    return taken or [min(order, key=lambda group: sizes[group])]


def quotas(labels: Sequence[str], fraction: float) -> dict[str, int]:
    """Pictures per class that a fraction stands for: rounded, and one at least."""
    if fraction <= 0:
        return {}
    names, counts = np.unique(np.asarray(labels, dtype=object), return_counts=True)
    return {str(name): max(1, round(fraction * int(count))) for name, count in zip(names, counts, strict=True)}


def draw_fold(labels: Sequence[str], groups: Sequence[str], folds: int, fold: int, *, seed: int) -> np.ndarray:
    """[N] bool: the pictures of one fold of StratifiedGroupKFold(folds, shuffle=True, random_state=seed).

    Groups are numbered in order of appearance. Two kinds stay in training: those that carry several labels, one of
    which is wrong, and those of a class that lies in this fold with all it has. Raises UserError where the classes are
    too small for so many folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    classes, group_numbers = _numbered(labels), _numbered(groups)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    held_out = np.zeros(len(labels), bool)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a class smaller than the number of folds; said below
            parts = list(splitter.split(np.zeros(len(labels)), classes, group_numbers))
    except ValueError as error:
        raise UserError(f"data.folds={folds} is too many for these classes: {error}") from None
    held_out[parts[fold][1]] = True
    unlearnt = set(labels) - {labels[index] for index in np.flatnonzero(~held_out)}
    shown: dict[str, set[str]] = defaultdict(set)
    for label, group in zip(labels, groups, strict=True):
        shown[group].add(label)
    kept = {group for group, names in shown.items() if len(names) > 1 or names & unlearnt}
    held_out &= [group not in kept for group in groups]
    missing = sorted(set(labels) - {labels[index] for index in np.flatnonzero(held_out)})
    if missing:
        log.warning("fold %d of %d holds no images of: %s", fold, folds, ", ".join(missing))
    return held_out


def _numbered(values: Sequence[str]) -> np.ndarray:
    """Integers by first appearance."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)


_ANY = ("utf-8", "surrogateescape")  # file names need not be text
