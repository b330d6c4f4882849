"""The photographs of a run without the training part's copies: what copies of a picture are worth.

    python tools/train.py -c configs/monkeys_cpu_15m.yaml -o data.root=data/monkeys data.folds=5   # or any run
    python benchmarks/distinct.py --run runs/monkeys_cpu_15m --data data/monkeys --out data/distinct

Of each picture that several training files show, the first stays. What the run holds out is all there, as the
folder's own validation part, so that a training on it is examined on the same photographs.
"""

from __future__ import annotations

import shutil

from training_part import arguments, manifest_rows

FOLDERS = {"train": "training", "val": "validation"}


def main() -> None:
    args = arguments(__doc__)
    rows = [row for row in manifest_rows(args.run) if row["split"] in FOLDERS]
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
