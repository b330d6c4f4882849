"""Shared by the scripts that make a folder of a run's photographs: their options, and the manifest's rows."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path


def arguments(description: str | None) -> argparse.Namespace:
    """run, data and out, as paths; refuses an out that holds something, which might be held out by this run."""
    parse = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--run", type=Path, required=True, help="run folder whose manifest.csv names the photographs")
    parse.add_argument("--data", type=Path, required=True, help="folder that the manifest's paths start from")
    parse.add_argument("--out", type=Path, required=True, help="folder to make")
    args = parse.parse_args()
    if args.out.exists() and any(args.out.iterdir()):
        parse.error(f"{args.out} is not empty: what is in it might be held out by this run; remove it, or name another")
    return args


def manifest_rows(run: Path) -> list[dict[str, str]]:
    """Every line of a run's manifest.csv."""
    with (run / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
