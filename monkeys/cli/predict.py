"""Name what is in photographs: `RUN PATHS… --topk 3 --out predictions.csv`."""

from __future__ import annotations

import argparse
import csv
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .. import runtime
from ..errors import UserError
from ..progress import progress
from . import DONE, WRONG_INPUT, entry, existing_run, say

if TYPE_CHECKING:
    from ..serving.predictor import Prediction

log = logging.getLogger("monkeys")

Writer = Callable[["Prediction"], None]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parse = argparse.ArgumentParser(prog="predict", description="Name what is in photographs.")
    parse.add_argument("run", type=Path, help="run folder")
    parse.add_argument(
        "paths", nargs="+", help="files, folders, @LIST (a file of paths), or - (paths on standard input)"
    )
    parse.add_argument("--topk", type=int, default=3, metavar="K", help="classes per photograph")
    parse.add_argument("--out", type=Path, help="FILE.csv or FILE.jsonl; without it, lines on standard output")
    return parse


@entry
def main(argv: Sequence[str] | None = None) -> int:
    """Predict; 0 if any photograph was predicted, 2 if none."""
    args = parser().parse_args(argv)
    if args.topk < 1:
        raise UserError(f"--topk {args.topk}: at least 1")
    if args.out and args.out.suffix not in (".csv", ".jsonl"):
        raise UserError(f"--out {args.out}: the name must end in .csv or .jsonl")
    existing_run(args.run)
    log.info(runtime.tune_cpu())
    runtime.import_paddle()
    from ..serving.predictor import Predictor

    predictor = Predictor(args.run)
    topk = min(args.topk, len(predictor.network.classes))
    found = predictor.predict_many(expand(args.paths), topk)
    return _write(progress(found, desc="predicting", unit="image"), topk, args.out)


def expand(paths: Iterable[str]) -> Iterator[Path]:
    """Files, one by one: folders are walked in order, lists and standard input are read as they come."""
    for text in paths:
        if text == "-":
            yield from (Path(line.rstrip("\n")) for line in sys.stdin if line.strip())
        elif text.startswith("@"):
            yield from _listed(Path(text[1:]))
        elif Path(text).is_dir():
            yield from (path for path in sorted(Path(text).rglob("*")) if path.is_file() and path.name[0] != ".")
        else:
            yield Path(text)


def _listed(path: Path) -> Iterator[Path]:
    try:
        with path.open(encoding="utf-8") as lines:
            yield from (path.parent / line.rstrip("\n") for line in lines if line.strip())
    except OSError as error:
        raise UserError(f"list {path} cannot be read: {error.strerror}") from None


def _write(predictions: Iterable[Prediction], topk: int, out: Path | None) -> int:
    """Stream predictions to a file or to standard output, with one line on standard error for each that failed."""
    done = failed = 0
    with _open(out) as file:
        write = _json_lines(file) if out and out.suffix == ".jsonl" else _table(file, topk) if out else _lines
        for prediction in predictions:
            write(prediction)
            failed += bool(prediction.error)
            done += not prediction.error
            if prediction.error:
                log.warning("%s: %s", prediction.path, prediction.error)
    log.info("%d photographs predicted, %d could not be read", done, failed)
    return DONE if done else WRONG_INPUT


def _open(out: Path | None) -> TextIO:
    try:
        return (out or Path("/dev/null")).open("w", newline="", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror}") from None


def _table(file: TextIO, topk: int) -> Writer:
    writer = csv.writer(file, lineterminator="\n")
    columns = [f"{what}_{k}" for k in range(1, topk + 1) for what in ("label", "name", "probability")]
    writer.writerow(["path", "predicted", "confidence", *columns, "error"])

    def write(prediction: Prediction) -> None:
        cells = [cell for guess in prediction.guesses for cell in (guess.id, guess.name, guess.probability)]
        best = [prediction.best.id, prediction.best.probability] if prediction.guesses else ["", ""]
        writer.writerow([prediction.path, *best, *(cells or [""] * len(columns)), prediction.error])

    return write


def _json_lines(file: TextIO) -> Writer:
    def write(prediction: Prediction) -> None:
        record: dict[str, object] = {"path": prediction.path}
        if prediction.error:
            record["error"] = prediction.error
        else:
            record |= {"predicted": prediction.best.id, "confidence": prediction.best.probability}
            record["topk"] = [vars(guess) for guess in prediction.guesses]
        file.write(json.dumps(record, ensure_ascii=False) + "\n")

    return write


def _lines(prediction: Prediction) -> None:
    guesses = ", ".join(f"{guess.name} {guess.probability:.1%}" for guess in prediction.guesses)
    say(f"{prediction.path}: {guesses or prediction.error}")
