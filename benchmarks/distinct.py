"""The photographs of a run without the training part's copies: what copies of a picture are worth.

    python benchmarks/distinct.py --run runs/monkeys_cpu_15m --data data/monkeys --out data/distinct

Of each picture that several training files show, the first stays. What the run holds out is all there, as the
folder's own validation part, so that a training on it is examined on the same photographs.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from pathlib import Path

FOLDERS = {"train": "training", "val": "validation"}


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--run", type=Path, required=True, help="run folder whose manifest.csv names the photographs")
    parse.add_argument("--data", type=Path, required=True, help="folder that the manifest's paths start from")
    parse.add_argument("--out", type=Path, required=True)
    args = parse.parse_args()
    with (args.run / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] in FOLDERS]
    seen: set[str] = set()
    for row in rows:
        if row["split"] == "train" and row["group"] in seen:
            continue
        seen.add(row["group"])
        folder = args.out / FOLDERS[row["split"]] / row["label"]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(args.data / row["path"], folder / row["path"].replace("/", "_"))
    print(f"{args.out}: {sum(path.is_file() for path in args.out.rglob('*'))} of {len(rows)} files")


if __name__ == "__main__":
    main()
