"""Which pictures show the same photograph: signatures, comparison of all with all, and groups.

A signature is the picture squashed to 24x24 grey cells. Two measures decide. *Correlation* of the cells is blind to
size, encoding, brightness and contrast, but every picture of sky above grass has a high one. *Detail* is the
correlation of what remains after a blur is subtracted; unrelated smooth pictures have none in common. A pair is the
same photograph when its detail agrees and its correlation exceeds 0.97, or when the three quarters of the cells that
agree best, a stamped text or banner left out, fit almost exactly. The numbers lie in gaps that real photographs leave
empty: on the ten-monkeys set the highest correlation of different photographs is 0.956 (two moments of one scene) and
the lowest of a re-encoded or watermarked copy 0.979; of the best three quarters 0.9955 and, with an opaque text across
the middle, 0.9989. Cropped copies below 0.97 are not joined but listed as look-alikes, for people to judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np

from ..progress import progress

SIDE = 24
SAME = 0.97
LOOK_ALIKE = 0.90
DETAIL = 0.5
COVERED, UNCOVERED_SHARE = 0.998, 0.75
PLAIN = 1.0  # grey levels of detail (root mean square) below which a picture cannot be told from others like it

_CELLS = SIDE * SIDE
_BLOCK = 2048  # signatures compared at once: 16 MB of correlations
_CHUNK = 1024  # pairs examined at once
_MAX_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures by index, first < second; `uncovered` is the correlation of the cells that agree best."""

    first: int
    second: int
    correlation: float
    uncovered: float
    mirrored: bool

    @property
    def same(self) -> bool:
        """Whether they show one photograph."""
        return self.correlation > SAME or self.uncovered > COVERED


@dataclass
class Comparison:
    """Groups (an integer per picture), the pairs that made them, and the nearest pairs that did not."""

    groups: np.ndarray
    twins: list[Pair] = field(default_factory=list)
    look_alikes: list[Pair] = field(default_factory=list)


class UnionFind:
    """Disjoint sets of 0 … n - 1; the smallest member stands for its set."""

    def __init__(self, size: int) -> None:
        self._parent = np.arange(size)

    def find(self, members: np.ndarray) -> np.ndarray:
        """Representatives of many members at once."""
        above = self._parent[members]
        while True:
            higher = self._parent[above]
            if np.array_equal(higher, above):
                self._parent[members] = above  # shortens later walks
                return above
            above = higher

    def join(self, first: int, second: int) -> bool:
        """Unite two sets; False where they were one already."""
        low, high = sorted(self.find(np.array([first, second])))
        self._parent[high] = low
        return bool(low != high)


def signature(image: np.ndarray) -> np.ndarray:
    """Grey cells [24, 24] float16, 0 to 255, of an RGB picture [H, W, 3] uint8."""
    return grey(cells(image))


def grey(means: np.ndarray) -> np.ndarray:
    """Brightness float16 of mean colours [..., 3]."""
    return (means @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.float16)


def cells(image: np.ndarray) -> np.ndarray:
    """Mean colours [24, 24, 3] float32 of an RGB picture [H, W, 3] uint8."""
    # by way of 96x96 bytes: averaging 16 of them keeps the rounding below a tenth of a level, without a float copy
    small = cv2.resize(image, (4 * SIDE, 4 * SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def is_plain(signatures: np.ndarray) -> np.ndarray:
    """[N] bool: too little detail to be recognised; only equal bytes make such pictures the same."""
    return ~_detail(signatures).any(axis=1)


def compare(signatures: np.ndarray) -> Comparison:
    """Group pictures [N, 24, 24] that show the same photograph, upright or mirrored.

    Groups are transitive: what links two pictures in a chain holds all of them together, so that no pair of twins can
    be parted by a split. Time grows with N squared (100,000: minutes), memory with N (2.3 kB each).
    """
    count = len(signatures)
    sets, result = UnionFind(count), Comparison(np.arange(count))
    detail = _detail(signatures)
    blocks = [(i, j) for i in range(0, count, _BLOCK) for j in range(i, count, _BLOCK)]
    for i, j in progress(blocks, desc="comparing pictures", unit="block"):
        for mirrored in (False, True):
            for first, second in _candidates(detail, i, j, mirrored):
                _settle(signatures, first, second, mirrored, sets, result)
        result.look_alikes = _nearest(result.look_alikes)
    result.groups = groups = sets.find(np.arange(count))
    result.look_alikes = [pair for pair in result.look_alikes if groups[pair.first] != groups[pair.second]]
    return result


def matches(signatures: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[N] bool: whether each picture [N, 24, 24] shows the same photograph as any of `others` [M, 24, 24]."""
    both = np.concatenate([others, signatures])
    detail = _detail(both)
    found = np.zeros(len(both), bool)
    for i in range(0, len(others), _BLOCK):
        for j in range(len(others), len(both), _BLOCK):
            for mirrored in (False, True):
                for first, second in _candidates(detail, i, j, mirrored, len(others)):
                    new = ~found[second]
                    pairs = examine(both, first[new], second[new], mirrored)
                    found[[pair.second for pair in pairs if pair.same]] = True
    return found[len(others) :]


def examine(signatures: np.ndarray, first: np.ndarray, second: np.ndarray, mirrored: bool) -> list[Pair]:
    """Both correlations of the given pairs, in double precision."""
    left = signatures[first].astype(np.float64).reshape(-1, _CELLS)
    right = signatures[second]
    right = (right[:, :, ::-1] if mirrored else right).astype(np.float64).reshape(-1, _CELLS)
    whole = _correlate(left, right, np.ones_like(left))
    part = _correlate(left, right, _uncovered(left, right))
    rows = zip(first.tolist(), second.tolist(), whole.tolist(), part.tolist(), strict=True)
    return [Pair(a, b, correlation, uncovered, mirrored) for a, b, correlation, uncovered in rows]


def _settle(
    signatures: np.ndarray, first: np.ndarray, second: np.ndarray, mirrored: bool, sets: UnionFind, result: Comparison
) -> None:
    """Examine candidates that are not in one group yet, and join them or list them."""
    apart = sets.find(first) != sets.find(second)
    for pair in examine(signatures, first[apart], second[apart], mirrored):
        if pair.same and sets.join(pair.first, pair.second):
            result.twins.append(pair)
        elif not pair.same and pair.correlation > LOOK_ALIKE:
            result.look_alikes.append(pair)


def _nearest(pairs: list[Pair]) -> list[Pair]:
    """The most alike, so that the list stays short however large the set."""
    return sorted(pairs, key=lambda pair: (-pair.correlation, pair.first, pair.second))[:_MAX_LISTED]


def _candidates(
    detail: np.ndarray, i: int, j: int, mirrored: bool, end: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Chunks of pairs between two blocks whose detail agrees; rows stop before `end`, first < second."""
    rows = detail[i : min(i + _BLOCK, end) if end else i + _BLOCK]
    columns = detail[j : j + _BLOCK]
    if mirrored:
        columns = np.ascontiguousarray(columns.reshape(-1, SIDE, SIDE)[:, :, ::-1]).reshape(-1, _CELLS)
    first, second = np.nonzero(rows @ columns.T > DETAIL)
    first, second = first + i, second + j
    first, second = first[first < second], second[first < second]
    for start in range(0, len(first), _CHUNK):
        yield first[start : start + _CHUNK], second[start : start + _CHUNK]


def _detail(signatures: np.ndarray) -> np.ndarray:
    """What a blur does not explain, as rows [N, 576] float32 of length one; zero, like nothing else, where plain."""
    blur = _blur_matrix()
    detail = np.empty((len(signatures), _CELLS), np.float32)
    for start in range(0, len(signatures), _BLOCK):
        part = signatures[start : start + _BLOCK].astype(np.float32)
        fine = (part - blur @ part @ blur.T).reshape(-1, _CELLS)
        fine -= fine.mean(axis=1, keepdims=True)
        length = np.linalg.norm(fine, axis=1, keepdims=True)
        detail[start : start + _BLOCK] = np.where(length < PLAIN * SIDE, 0, fine / np.maximum(length, 1e-6))
    return detail


@cache
def _blur_matrix(sigma: float = 1.5) -> np.ndarray:
    """Gaussian blur along one side as a matrix [24, 24]; the picture is reflected at its edges."""
    blur = np.zeros((SIDE, SIDE))
    for offset in range(-6, 7):
        source = np.arange(SIDE) + offset
        source = np.where(source < 0, -1 - source, np.where(source >= SIDE, 2 * SIDE - 1 - source, source))
        blur[np.arange(SIDE), source] += np.exp(-0.5 * (offset / sigma) ** 2)
    return (blur / blur.sum(axis=1, keepdims=True)).astype(np.float32)


def _correlate(left: np.ndarray, right: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted correlation of rows; 0 where one of them does not vary."""
    left, right, _ = _centred(left, right, weight)
    product = (weight * left * right).sum(axis=1)
    power = (weight * left * left).sum(axis=1) * (weight * right * right).sum(axis=1)
    flat = power <= (PLAIN**2 * weight.sum(axis=1)) ** 2
    return np.where(flat, 0.0, product / np.sqrt(np.where(flat, 1.0, power)))


def _centred(left: np.ndarray, right: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows without their weighted means, and the slope of the line that explains right by left."""
    total = weight.sum(axis=1, keepdims=True)
    left = left - (weight * left).sum(axis=1, keepdims=True) / total
    right = right - (weight * right).sum(axis=1, keepdims=True) / total
    power = (weight * left * left).sum(axis=1, keepdims=True)
    return left, right, (weight * left * right).sum(axis=1, keepdims=True) / np.maximum(power, 1e-9)


def _uncovered(left: np.ndarray, right: np.ndarray, rounds: int = 4) -> np.ndarray:
    """Weights 1 for the three quarters of the cells that one line fits best, else 0 (least trimmed squares)."""
    weight = np.ones_like(left)
    kept = int(UNCOVERED_SHARE * left.shape[1])
    for _ in range(rounds):
        x, y, slope = _centred(left, right, weight)
        error = np.abs(y - slope * x)
        weight = (error <= np.partition(error, kept - 1, axis=1)[:, kept - 1 : kept]).astype(np.float64)
    return weight
