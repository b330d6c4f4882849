"""Name what is in photographs: `RUN PATHS… --topk 3 --out predictions.csv`."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import csv
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .. import atomic, runtime
from ..data.layout import is_left_behind
from ..errors import WRONG_INPUT, UserError
from ..progress import progress
from . import DONE, entry, existing_run, say

if TYPE_CHECKING:
    from ..serving.predictor import Prediction

log = logging.getLogger("monkeys")

Writer = Callable[["Prediction"], None]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parse = argparse.ArgumentParser(prog="predict", description="Name what is in photographs.")
    parse.add_argument("run", type=Path, help="run folder, or its export in the paddle or safetensors format")
    parse.add_argument(
        "paths", nargs="+", help="files, folders, @LIST (a file of paths), or - (paths on standard input)"
    )
    parse.add_argument("--topk", type=int, default=3, metavar="K", help="classes per photograph (3)")
    parse.add_argument(
        "--out",
        type=Path,
        help="FILE.csv or FILE.jsonl, there once it is complete; until then, and where the command is ended, its rows "
        "are in FILE.csv.part. Without --out, lines on standard output",
    )
    parse.add_argument(
        "--engine",
        choices=("dygraph", "inference"),
        default="dygraph",
        help="the network as trained, or paddle.inference on the CPU (exported first where need be)",
    )
    return parse


@entry
def main(argv: Sequence[str] | None = None) -> int:
    """Predict; 0 if any photograph was predicted, 2 if none."""
    args = parser().parse_args(argv)
    if args.topk < 1:
        raise UserError(f"--topk {args.topk}: at least 1")
    if args.out and args.out.suffix not in (".csv", ".jsonl"):
        raise UserError(f"--out {args.out}: the name must end in .csv or .jsonl")
    if not (args.run / "network.json").is_file():  # the mark of an export
        existing_run(args.run)
    log.info(runtime.tune_cpu())
    runtime.import_paddle()
    from ..serving.predictor import Predictor

    predictor = Predictor(args.run, args.engine)
    topk = min(args.topk, len(predictor.network.classes))
    own = {args.out.absolute(), _part(args.out).absolute()} if args.out else set()
    paths = (path for path in expand(args.paths) if path.absolute() not in own)
    found = progress(predictor.predict_many(paths, topk), desc="predicting", unit="image")
    with _complete(args.out) as file:
        return _write(found, _writer(file, args.out, topk))


def expand(paths: Iterable[str]) -> Iterator[Path]:
    """Files, one by one: folders are walked in order, lists and standard input are read as they come."""
    for text in paths:
        if text == "-":
            yield from _lines_of(sys.stdin.buffer, Path())
        elif text.startswith("@"):
            yield from _listed(Path(text[1:]))
        else:
            yield from _files(Path(text))


def _listed(path: Path) -> Iterator[Path]:
    """Paths of a list, relative to its folder."""
    try:
        with path.open("rb") as lines:
            yield from _lines_of(lines, path.parent)
    except OSError as error:
        raise UserError(f"list {path} cannot be read: {error.strerror}") from None


def _lines_of(lines: Iterable[bytes], base: Path) -> Iterator[Path]:
    """One path a line, in whatever encoding file names have; a folder stands for what is in it."""
    for line in lines:
        name = os.fsdecode(line.removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n"))
        if name.strip():
            yield from _files(base / name)


def _files(path: Path) -> Iterator[Path]:
    """The file, or all files below a folder but hidden ones and file managers'; one folder's names in memory."""
    if not os.path.isdir(path):  # noqa: PTH112 (raises nothing, whatever the name)
        yield path
        return
    seen = {_identity(path)}
    for folder, inner, names in os.walk(path, followlinks=True, onerror=_warn_closed):
        inner[:] = _not_entered(folder, inner, seen)
        yield from (Path(folder, name) for name in sorted(names) if not is_left_behind(name))


def _not_entered(folder: str, names: Iterable[str], seen: set[tuple[int, int]]) -> list[str]:
    """The folders among these names, those hidden left out, that are met for the first time: links lead in circles."""
    fresh = []
    for name in sorted(names):
        if is_left_behind(name):
            continue
        try:
            place = _identity(Path(folder, name))
        except OSError as error:  # a folder that may be listed, but not entered
            _warn_closed(error)
            continue
        if place not in seen:
            seen.add(place)
            fresh.append(name)
    return fresh


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _warn_closed(error: OSError) -> None:
    log.warning("%s", atomic.explain(error, shown(str(error.filename))))


def _write(predictions: Iterable[Prediction], write: Writer) -> int:
    """Stream predictions, with one line on standard error for each that failed."""
    done = failed = 0
    for prediction in predictions:
        write(prediction)
        failed += bool(prediction.error)
        done += not prediction.error
        if prediction.error:
            log.warning("%s: %s", shown(prediction.path), prediction.error)
    if not done and not failed:
        raise UserError("nothing to predict: the paths name no file (hidden files are left out)")
    log.info("predicted: %d; could not be read: %d", done, failed)
    return DONE if done else WRONG_INPUT


def _writer(file: TextIO | None, out: Path | None, topk: int) -> Writer:
    if file is None or out is None:
        return _lines
    return _json_lines(file) if out.suffix == ".jsonl" else _table(file, topk)


@contextlib.contextmanager
def _complete(out: Path | None) -> Iterator[TextIO | None]:
    """A file that takes its name once it is complete; before, it is FILE.part, row by row."""
    if out is None:
        yield None
        return
    part = _part(out)
    try:
        file = part.open("w", buffering=1, newline="", encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror}") from None
    try:
        with file:
            yield file
        part.replace(out)
    except OSError as error:
        raise UserError(f"--out {atomic.explain(error, part)}; the rows so far are there") from None


def _part(out: Path) -> Path:
    return out.with_name(out.name + ".part")


def _table(file: TextIO, topk: int) -> Writer:
    writer = csv.writer(file, lineterminator="\n")
    columns = [f"{what}_{k}" for k in range(1, topk + 1) for what in ("label", "name", "probability")]
    writer.writerow(["path", "predicted", "confidence", *columns, "error"])

    def write(prediction: Prediction) -> None:
        cells = [cell for guess in prediction.guesses for cell in (guess.id, guess.name, guess.probability)]
        best = [prediction.best.id, prediction.best.probability] if prediction.guesses else ["", ""]
        path = prediction.path.replace("\0", "\\0").replace("\r", "\\r")  # which tables cannot be read back with
        writer.writerow([path, *best, *(cells or [""] * len(columns)), prediction.error])

    return write


def _json_lines(file: TextIO) -> Writer:
    def write(prediction: Prediction) -> None:
        record: dict[str, object] = {"path": prediction.path}
        if prediction.error:
            record["error"] = prediction.error
        else:
            record |= {"predicted": prediction.best.id, "confidence": prediction.best.probability}
            record["topk"] = [vars(guess) for guess in prediction.guesses]
        file.write(json.dumps(record, ensure_ascii=not prediction.path.isprintable()) + "\n")

    return write


def _lines(prediction: Prediction) -> None:
    if prediction.guesses:  # the others have their line on standard error
        guesses = ", ".join(f"{guess.name} {guess.probability:.1%}" for guess in prediction.guesses)
        say(f"{shown(prediction.path)}: {guesses}")


def shown(path: str) -> str:
    """A file's name for people: one line, whatever it is made of."""
    return path if path.isprintable() else repr(path)
