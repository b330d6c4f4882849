"""Ten invented monkeys: every trait value is shared by several of them, so only combinations tell them apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from typing import Literal


@dataclass(frozen=True)
class Traits:
    """What the pencil has to know about a species; colours are left to chance, but for a leaning of the fur."""

    ears: Literal["small", "round", "pointed"]
    crown: Literal["smooth", "crest", "brow"]
    mane: Literal["none", "ruff", "beard", "moustache"]
    eyes: Literal["plain", "ring", "mask"]
    muzzle: Literal["plain", "pale"]
    coat: Literal["plain", "striped", "spotted"]
    tail: Literal["plain", "ringed", "tufted"]
    tint: Literal["warm", "cool"]


@dataclass(frozen=True)
class Species:
    """A class folder, its names as the label table spells them, and its looks."""

    id: str
    latin: str
    common: str
    traits: Traits


SPECIES: tuple[Species, ...] = (
    Species("n0", "eremocebus_tigrinus", "striped_hill_monkey",
            Traits("small", "smooth", "moustache", "plain", "plain", "striped", "plain", "warm")),
    Species("n1", "eremocebus_senex", "crested_lantern_monkey",
            Traits("small", "crest", "beard", "ring", "pale", "plain", "ringed", "cool")),
    Species("n2", "eremocebus_nebulosus", "ruffed_cloud_monkey",
            Traits("small", "brow", "ruff", "ring", "plain", "spotted", "ringed", "warm")),
    Species("n3", "lunapithecus_rotundus", "round_eared_moon_monkey",
            Traits("round", "smooth", "none", "ring", "plain", "striped", "tufted", "cool")),
    Species("n4", "lunapithecus_cristatus", "crested_river_monkey",
            Traits("round", "crest", "ruff", "plain", "pale", "striped", "plain", "warm")),
    Species("n5", "lunapithecus_latro", "highwayman_monkey",
            Traits("round", "crest", "moustache", "mask", "plain", "spotted", "plain", "cool")),
    Species("n6", "lunapithecus_imperator", "emperor_moon_monkey",
            Traits("round", "brow", "moustache", "ring", "pale", "spotted", "tufted", "warm")),
    Species("n7", "lunapithecus_barbatus", "island_graybeard",
            Traits("round", "brow", "beard", "plain", "plain", "plain", "tufted", "cool")),
    Species("n8", "lyncocolobus_pardinus", "spotted_lynx_monkey",
            Traits("pointed", "smooth", "beard", "plain", "pale", "spotted", "plain", "warm")),
    Species("n9", "lyncocolobus_larvatus", "masked_lynx_monkey",
            Traits("pointed", "brow", "none", "mask", "pale", "striped", "tufted", "cool")),
)  # fmt: skip


def difference(one: Traits, other: Traits) -> int:
    """Count the shapes (all but the fur's leaning) in which two species differ."""
    names = [field.name for field in fields(Traits)]
    pairs = zip(names, astuple(one), astuple(other), strict=True)
    return sum(a != b for name, a, b in pairs if name != "tint")


def label_table(per_class: Mapping[str, int]) -> str:
    """Write the names in the form of the photographs' `monkey_labels.txt`, with the numbers really drawn."""
    head = ("Label", "Latin Name", "Common Name", "Train Images", "Validation Images")
    counts = (str(per_class.get("train", 0)), str(per_class.get("val", 0)))
    rows = [head, *((species.id, species.latin, species.common, *counts) for species in SPECIES)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = (" , ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in lines)
