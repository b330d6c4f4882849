"""What the last weights of several runs have learned, all their held-out photographs together.

    python benchmarks/learned.py runs/confirm_1h/an_hour-1 runs/confirm_1h/an_hour-2 --out learned

Prints top-1 with each picture counted once, each class's recall (mean ± deviation over the runs) and precision, the
pairs that are confused, calibration, and how much is seen of the border; OUT has the pictures, each run's
`eval-val-last/cam.png` where it looks. A photograph counts once for each run that holds it out. For calibration each
half of a run's photographs is scaled by the temperature that fits the other half, copies in one half, so that nothing
is fitted to what is measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from study import spread

from monkeys import runtime
from monkeys.evaluation.calibration import fit_temperature
from monkeys.evaluation.metrics import calibration_error, confusion, per_class, reliability
from monkeys.evaluation.predictions import Answer, Named, Predictions, answers

PAIRS = 6  # shown


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("runs", type=Path, nargs="+", help="run folders")
    parse.add_argument("--out", type=Path, required=True, help="folder of the pictures")
    args = parse.parse_args()
    runtime.tune_cpu()
    runtime.import_paddle()

    from monkeys.assessment import assess

    found = [assess(run, weights="last") for run in args.runs]
    classes = found[0].network.classes
    if any(one.network.classes != classes for one in found):
        parse.error("these runs do not have the same classes")
    by_run = [answers(one.predictions, classes) for one in found]
    groups = [[row.group for row in one.images.rows] for one in found]
    plain = [row for rows in by_run for row in rows]
    fitted = [half for one, of in zip(found, groups, strict=True) for half in halves(one.predictions, of)]
    scaled = [row for half, temperature in fitted for row in answers(half, classes, temperature)]
    temperatures = [temperature for _, temperature in fitted]
    print(f"{len(plain)} answers on {len({row.path for row in plain})} files, {len(set().union(*groups))} pictures")
    print("top-1, each picture once:", ", ".join(map(by_picture, by_run, groups)))
    print(class_table(by_run, classes))
    print("\n".join(confused(plain, {info.id: info.name for info in classes})))
    print(calibration("as trained", plain))
    print(calibration(f"divided by {min(temperatures):.2f} to {max(temperatures):.2f}", scaled))
    print(border(one.out for one in found))
    draw(plain, scaled, classes, args.out)


def halves(predictions: Predictions, groups: Sequence[str]) -> Iterable[tuple[Predictions, float]]:
    """Two halves of the images and, with each, the temperature that fits the other; a group is in one half."""
    second = np.unique(groups, return_inverse=True)[1] % 2 == 1
    for mine in (~second, second):
        chosen = np.flatnonzero(mine)
        half = Predictions(
            paths=tuple(predictions.paths[index] for index in chosen),
            labels=predictions.labels[chosen],
            logits=predictions.logits[chosen],
            leak_free=predictions.leak_free[chosen],
        )
        yield half, fit_temperature(predictions.logits[~mine], predictions.labels[~mine])


def by_picture(rows: Sequence[Answer], groups: Sequence[str]) -> str:
    """Top-1 with copies of a picture counted as one, right by the share of them that is."""
    right: dict[str, list[bool]] = {}
    for row, group in zip(rows, groups, strict=True):
        right.setdefault(group, []).append(row.correct)
    return f"{statistics.fmean(map(statistics.fmean, right.values())):.1%} of {len(right)}"


def class_table(runs: Sequence[Sequence[Answer]], classes: Sequence[Named]) -> str:
    """A line per class, the most often recognised first."""
    tables = [per_class(rows, classes) for rows in runs]
    recalls = {lines[0]["id"]: [line["recall"] for line in lines] for lines in zip(*tables, strict=True)}
    lines = ["| class | recall | precision | answers |", "|" + " --- |" * 4]
    together = per_class([row for rows in runs for row in rows], classes)
    for row in sorted(together, key=lambda row: -row["recall"]):
        name, recall = row["name"].replace("_", " "), spread(recalls[row["id"]], ".1f")
        lines.append(f"| {name} | {recall} % | {row['precision']:.1%} | {row['support']} |")
    return "\n".join(lines)


def confused(rows: Sequence[Answer], names: dict[str, str]) -> list[str]:
    """The pairs of classes with the most errors, in both directions."""
    errors = [(row.label, row.predicted) for row in rows if not row.correct]
    counts, pairs = Counter(errors), Counter((min(error), max(error)) for error in errors)
    return [
        f"{both} of {len(errors)} errors: {counts[a, b]} {names[a]} taken for {names[b]}, {counts[b, a]} the other way"
        for (a, b), both in pairs.most_common(PAIRS)
    ]


def calibration(name: str, rows: Sequence[Answer]) -> str:
    """Expected calibration error, loss, mean confidence and accuracy in one line."""
    loss = statistics.fmean(row.loss for row in rows)
    confidence = statistics.fmean(row.confidence for row in rows)
    top1 = statistics.fmean(row.correct for row in rows)
    error = calibration_error(rows)
    return f"{name}: calibration error {error:.1%}, loss {loss:.3f}, confidence {confidence:.1%}, top-1 {top1:.1%}"


def border(folders: Iterable[Path]) -> str:
    """How much of the Grad-CAM heat lies on the outer tenth of the shown photographs, of each run."""
    shares = [json.loads((folder / "cam.json").read_text(encoding="utf-8"))["border_share"] for folder in folders]
    shown = ", ".join("no heat" if share is None else f"{share:.0%}" for share in shares)
    return f"heat on the outer tenth, where 36 % of the picture is: {shown}"


def draw(plain: Sequence[Answer], scaled: Sequence[Answer], classes: Sequence[Named], out: Path) -> None:
    """confusion.png and reliability.png."""
    from monkeys.reports import plots

    out.mkdir(parents=True, exist_ok=True)
    plots.confusion_matrix(confusion(plain, classes), [info.name for info in classes], out / "confusion.png")
    note = f"\n({calibration_error(plain):.1%} before temperature scaling)"
    plots.reliability(
        reliability(scaled), calibration_error(scaled), out / "reliability.png", before=reliability(plain), note=note
    )


if __name__ == "__main__":
    main()
