"""Which pictures show the same photograph: signatures, comparison of all with all, and groups.

A signature is the picture squashed to 24x24 grey cells. Three measures decide about a pair. *Correlation* of the cells
is blind to size, encoding, brightness and contrast, but every picture of sky above grass has a high one. *Detail* is
the correlation of what remains after a blur is subtracted; unrelated smooth pictures have none in common. *Uncovered*
is the correlation of the three quarters of the cells that agree best, so that a stamped text or banner is left out.
The same photograph: clear detail and a correlation above 0.97; or, where a strip along one edge agrees in detail, some
detail on the whole and 0.998 uncovered.

The numbers lie in gaps that real photographs leave empty: on the ten-monkeys set the highest correlation of different
photographs is 0.956 (two moments of one scene) and the lowest of a re-encoded or watermarked copy 0.979; the highest
uncovered correlation is 0.9955, against 0.9989 and more with an opaque text across the middle. Cropped copies below
0.97 are not joined but listed as look-alikes, for people to judge. Made for photographs: of handwritten digits, scans
of one form and the like, different ones may be as alike as copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ..progress import progress
from .signatures import PLAIN, SIDE, detail_of

SAME, LOOK_ALIKE = 0.97, 0.90  # correlation
CLEAR, SOME = 0.7, 0.5  # detail
COVERED, UNCOVERED_SHARE = 0.998, 0.75
STRIP = 0.95  # detail of a strip along one edge, a third of the picture: there a copy has no stamp

_CELLS = SIDE * SIDE
_BLOCK = 2048  # signatures compared at once: 16 MB of correlations
_CHUNK = 1024  # pairs examined at once
_MAX_LISTED = 1000
_EDGES = (np.s_[:, :8], np.s_[:, 16:], np.s_[:, :, :8], np.s_[:, :, 16:])


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures by index, first < second. uncovered: 0 where no strip agrees."""

    first: int
    second: int
    detail: float
    correlation: float
    uncovered: float
    mirrored: bool

    @property
    def same(self) -> bool:
        """Whether they show one photograph."""
        return (self.detail > CLEAR and self.correlation > SAME) or self.uncovered > COVERED

    @property
    def alike(self) -> bool:
        """Whether people should have a look."""
        return self.detail > CLEAR and self.correlation > LOOK_ALIKE


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


def compare(signatures: np.ndarray) -> Comparison:
    """Group pictures [N, 24, 24] that show the same photograph, upright or mirrored.

    Groups are transitive: what links two pictures in a chain holds all of them together, so that no pair of twins can
    be parted by a split. Time grows with N squared (100,000: minutes), memory with N (3.5 kB each).
    """
    detail, count = detail_of(signatures), len(signatures)
    sets, result = UnionFind(count), Comparison(np.arange(count))
    blocks = [(i, j) for i in range(0, count, _BLOCK) for j in range(i, count, _BLOCK)]
    for i, j in progress(blocks, desc="comparing pictures", unit="block"):
        for mirrored in (False, True):
            for first, second in _candidates(detail, i, j, mirrored):
                apart = sets.find(first) != sets.find(second)
                least = result.look_alikes[-1].correlation if len(result.look_alikes) == _MAX_LISTED else 0.0
                pairs = examine(signatures, detail, first[apart], second[apart], mirrored, least)
                joined = [pair for pair in pairs if pair.same]
                result.twins += [pair for pair in joined if sets.join(pair.first, pair.second)]
                alike = [pair for pair in pairs if pair.alike and not pair.same]
                result.look_alikes = _nearest(result.look_alikes + alike) if alike else result.look_alikes
    result.groups = groups = sets.find(np.arange(count))
    result.look_alikes = [pair for pair in result.look_alikes if groups[pair.first] != groups[pair.second]]
    return result


def matches(signatures: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[N] bool: whether each picture [N, 24, 24] shows the same photograph as any of `others` [M, 24, 24]."""
    both = np.concatenate([others, signatures])
    detail, found = detail_of(both), np.zeros(len(both), bool)
    for i in range(0, len(others), _BLOCK):
        for j in range(len(others), len(both), _BLOCK):
            for mirrored in (False, True):
                for first, second in _candidates(detail, i, j, mirrored, len(others)):
                    new = ~found[second]
                    pairs = examine(both, detail, first[new], second[new], mirrored)
                    found[[pair.second for pair in pairs if pair.same]] = True
    return found[len(others) :]


def examine(
    signatures: np.ndarray,
    detail: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    mirrored: bool,
    least: float = 0.0,
) -> list[Pair]:
    """The measures of those of the given pairs that have clear detail in common, or a strip along an edge.

    Left out are those that are neither one photograph nor of a correlation of at least `least`.
    """
    agreement, strip = _agreement(detail[first], _turned(detail[second], mirrored))
    near = (agreement > CLEAR) | (strip > STRIP)
    first, second, agreement, strip = first[near], second[near], agreement[near], strip[near]
    left = signatures[first].astype(np.float64).reshape(-1, _CELLS)
    right = _turned(signatures[second].astype(np.float64).reshape(-1, _CELLS), mirrored)
    whole, part = _correlate(left, right, np.ones_like(left)), np.zeros(len(left))
    stamped = (strip > STRIP) & ~((agreement > CLEAR) & (whole > SAME))
    part[stamped] = _correlate(left[stamped], right[stamped], _uncovered(left[stamped], right[stamped]))
    sides = np.full(len(first), mirrored)
    kept = (whole >= least) | (part > COVERED)
    columns = (column[kept].tolist() for column in (first, second, agreement, whole, part, sides))
    return [Pair(*values) for values in zip(*columns, strict=True)]


def _nearest(pairs: list[Pair]) -> list[Pair]:
    """The most alike, so that the list stays short however large the set."""
    return sorted(pairs, key=lambda pair: (-pair.correlation, pair.first, pair.second))[:_MAX_LISTED]


def _candidates(
    detail: np.ndarray, i: int, j: int, mirrored: bool, end: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Chunks of pairs between two blocks that have some detail in common; rows stop before `end`, first < second."""
    rows = detail[i : min(i + _BLOCK, end) if end else i + _BLOCK]
    first, second = np.nonzero(rows @ _turned(detail[j : j + _BLOCK], mirrored).T > SOME)
    first, second = first + i, second + j
    first, second = first[first < second], second[first < second]
    for start in range(0, len(first), _CHUNK):
        yield first[start : start + _CHUNK], second[start : start + _CHUNK]


def _turned(rows: np.ndarray, mirrored: bool) -> np.ndarray:
    """Rows [n, 576], left and right exchanged if so wanted."""
    if not mirrored:
        return rows
    return np.ascontiguousarray(rows.reshape(-1, SIDE, SIDE)[:, :, ::-1]).reshape(-1, _CELLS)


def _agreement(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Detail in common, on the whole and in the best of four strips; strips without detail do not count."""
    best = np.zeros(len(left), np.float32)
    for edge in _EDGES:
        a, b = (rows.reshape(-1, SIDE, SIDE)[edge].reshape(-1, _CELLS // 3) for rows in (left, right))
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        best = np.maximum(best, np.where(lengths < 0.01, 0, (a * b).sum(axis=1) / np.maximum(lengths, 0.01)))
    return (left * right).sum(axis=1), best


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
