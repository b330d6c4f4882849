"""Make a data folder: `SRC --out DIR` (folder, archive, list file, or `kaggle`), or `--synthetic --out DIR`."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .. import runtime
from ..data.layout import SPLIT_NAMES
from ..data.manifest import Manifest
from ..data.prepare import download, prepare, prepare_synthetic
from ..errors import UserError
from . import DONE, entry, say

PER_CLASS = (100, 20, 20)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parse = argparse.ArgumentParser(
        prog="prepare",
        description="Copy photographs into DIR/training/<class>/… (validation and test likewise, where the source has "
        "them) and list them in DIR/manifest.csv. The source is only read; repeating the command changes nothing.",
    )
    parse.add_argument("source", nargs="?", metavar="SRC", help="folder, zip, tar, list file, or `kaggle` to download")
    parse.add_argument("--out", type=Path, required=True, metavar="DIR", help="new, empty, or made by this command")
    parse.add_argument("--synthetic", action="store_true", help="draw ten invented species instead")
    parse.add_argument(
        "--per-class",
        type=int,
        nargs=3,
        default=PER_CLASS,
        metavar=("TRAIN", "VAL", "TEST"),
        help=f"pictures to draw of each species ({' '.join(map(str, PER_CLASS))})",
    )
    parse.add_argument("--seed", type=int, default=0, help="of the drawn set (0)")
    parse.add_argument("--cache-dir", type=Path, help="where archives are unpacked and audits kept")
    parse.add_argument("--workers", type=int, default=0, help="processes; 0: one per core")
    return parse


@entry
def main(argv: Sequence[str] | None = None) -> int:
    """Prepare and say what there is."""
    args = parser().parse_args(argv)
    if bool(args.source) == args.synthetic:
        raise UserError("name one source: a folder, archive or list file, `kaggle`, or --synthetic")
    if args.seed < 0 or args.workers < 0 or min(args.per_class) < 0:
        raise UserError("--seed, --workers and --per-class must not be negative")
    cache_dir = runtime.cache_folder(args.cache_dir)
    if args.synthetic:
        per_class = dict(zip(SPLIT_NAMES, args.per_class, strict=True))
        manifest = prepare_synthetic(
            args.out, per_class=per_class, seed=args.seed, cache_dir=cache_dir, workers=args.workers
        )
    else:
        manifest = prepare(_source(args.source), args.out, cache_dir=cache_dir, workers=args.workers)
    _say_what(args.out, manifest)
    return DONE


def _source(name: str) -> Path:
    path = Path(name)
    return download() if name == "kaggle" and not path.exists() else path


def _say_what(out: Path, manifest: Manifest) -> None:
    counts = Counter(row.split for row in manifest.rows)
    pictures = len({row.group for row in manifest.rows})
    say(f"{out}: {len(manifest.rows)} images of {len(manifest.classes)} classes, {pictures} distinct pictures")
    drawn = [split for split in counts if not (out / SPLIT_NAMES[split]).is_dir()]
    how = f" ({' and '.join(drawn)} drawn from training, as training does by default)" if drawn else ""
    say(f"{out / 'manifest.csv'}: {', '.join(f'{counts[s]} {s}' for s in SPLIT_NAMES if counts[s])}{how}")
