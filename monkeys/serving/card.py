"""The model card of an export: what the network is, what it was trained on, how good it is, and how it is used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import atomic
from ..data.layout import SPLIT_NAMES
from ..data.manifest import Manifest, Row
from .examinations import examinations
from .held_out import read_classes

_PICTURE = """\
import json
import cv2
import numpy as np
from PIL import Image, ImageOps

about = json.load(open("network.json", encoding="utf-8"))
how, size = about["preprocess"], about["preprocess"]["size"]
photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGBA")
image = np.asarray(Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo).convert("RGB"))
if how["fit"] == "crop":
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    image = image[top : top + side, left : left + side]
shrunk = min(image.shape[1], size), min(image.shape[0], size)
image = cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA)
image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
images = ((image / 255 - how["mean"]) / how["std"]).transpose(2, 0, 1)[None].astype("float32")
"""

_ANSWER = """
scaled = np.exp((logits[0] - logits[0].max()) / about["temperature"])
probabilities = scaled / scaled.sum()
best = int(probabilities.argmax())
print(about["classes"][best]["name"], float(probabilities[best]))
"""

_PADDLE = """
from paddle import inference

predictor = inference.create_predictor(inference.Config("{program}", "model.pdiparams"))
predictor.get_input_handle(predictor.get_input_names()[0]).copy_from_cpu(images)
predictor.run()
logits = predictor.get_output_handle(predictor.get_output_names()[0]).copy_to_cpu()
"""

_ONNX = """
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
logits = session.run(None, {session.get_inputs()[0].name: images})[0]
"""

_OWN = """\
from monkeys.serving import Predictor

best = Predictor(".").predict("photo.jpg").best
print(best.name, best.probability)
"""


def write_card(path: Path, run: Path, record: Mapping[str, Any]) -> None:
    """README.md of an export. record: as network.json has it so far; the file's folder holds the network."""
    name = run.resolve().name
    rows = Manifest.read(run / "manifest.csv", run, read_classes(run)).rows
    parts = [
        f"# {name}: {record['model']['name']} for {len(record['classes'])} classes",
        _purpose(record, rows),
        "## Data\n\n" + _data(record, rows),
        "## Figures\n\n" + _figures(run),
        "## Limits\n\n" + _limits(record),
        "## Input and output\n\n" + _input(record),
        "## Use\n\n" + _use(record["format"], path.parent),
        "## Check of this export\n\n" + _check(record),
    ]
    atomic.write_text(path, "\n\n".join(parts) + "\n")


def _purpose(record: Mapping[str, Any], rows: Sequence[Row]) -> str:
    names = ", ".join(_cell(item["name"]) for item in record["classes"])
    return (
        f"Names the one class that a photograph shows, out of: {names}.\n\n"
        f"Intended use: sorting photographs like those it was trained on ({sum(row.split == 'train' for row in rows)} "
        "of them), with a person who looks at what it is unsure of. Not intended where a wrong name does harm that "
        "nobody would notice, nor for pictures that show something else."
    )


def _data(record: Mapping[str, Any], rows: Sequence[Row]) -> str:
    counts = Counter((row.label, row.split) for row in rows)
    splits = [split for split in SPLIT_NAMES if any(row.split == split for row in rows)]
    head = ["class", *(f"{SPLIT_NAMES[split]} images" for split in splits)]
    table = [[_cell(item["name"]), *(counts[item["id"], split] for split in splits)] for item in record["classes"]]
    total = ["**together**", *(sum(row.split == split for row in rows) for split in splits)]
    pictures = len({row.group for row in rows})
    note = f"{len(rows)} images show {pictures} distinct pictures (copies and near-copies of one count once)."
    return f"{_table(head, [*table, total])}\n\n{note}"


def _figures(run: Path) -> str:
    """Every examination of the exported weights in the run folder, each with its intervals and its remarks."""
    found = {folder.name: atomic.read_json(folder / "metrics.json") for folder in examinations(run)}
    if not found:
        return "These weights have not been examined so far (`tools/eval.py` does that)."
    head = ["images", "n", "top-1 (95 % interval)", "leak-free top-1 (95 % interval)", "top-5", "macro F1"]
    table = [
        [
            SPLIT_NAMES.get(m["split"], _cell(m["split"]))
            + (", test-time augmentation" if name.endswith("-tta") else "")
            + ("¹" if m["selected_on_this_split"] else ""),
            m["n"],
            _interval(m, "top1"),
            f"{_interval(m, 'top1_leak_free')} of {m['n_leak_free']}",
            f"{m['top5']:.1%}",
            f"{m['macro_f1']:.1%}",
        ]
        for name, m in found.items()
    ]
    notes = "Intervals are Wilson's. Leak-free: without images of which training has a copy or near-copy."
    if any(m["selected_on_this_split"] for m in found.values()):
        notes += "\n\n¹ The best epoch was chosen on these images, so their figures are a little too good."
    return f"{_table(head, table)}\n\n{notes}"


def _limits(record: Mapping[str, Any]) -> str:
    return (
        f"- It knows {len(record['classes'])} classes and nothing else: to anything it gives one of their names, "
        "sometimes with high probability.\n"
        "- One answer per photograph: of several animals or things it names one, or none of them right.\n"
        "- Other cameras, places, ages, drawings, or subjects that are small in the picture may do worse than the "
        "figures say; they were not measured.\n"
        f"- Probabilities are those of the validation images (logits divided by {record['temperature']:.4g}, the "
        "temperature fitted there); elsewhere they may promise too much."
    )


def _input(record: Mapping[str, Any]) -> str:
    how = record["preprocess"]
    cut = "its largest centred square is cut out, " if how["fit"] == "crop" else ""
    shape = "" if how["fit"] == "crop" else ", so that its aspect is not kept"
    return (
        "1. The file is decoded to RGB; a rotation in its EXIF data is applied, transparency lies on white, of an "
        "animation the first frame counts.\n"
        f"2. The picture: {cut}resized to {how['size']}×{how['size']} pixels{shape}; each axis by itself, by the mean "
        "of areas where it shrinks and linearly where it grows.\n"
        f"3. Values are divided by 255, less {how['mean']}, divided by {how['std']} (red, green, blue).\n"
        f"4. In: float32 [N, 3, {how['size']}, {how['size']}]. Out: logits, float32 [N, {len(record['classes'])}], in "
        f"the order of `classes` in `network.json`. Divided by the temperature ({record['temperature']:.6g}) and put "
        "through softmax they are probabilities."
    )


def _use(kind: str, folder: Path) -> str:
    if kind == "onnx":
        return f"In this folder, with `onnxruntime`, `opencv-python` and `pillow`:\n\n```python\n{usage(kind)}```"
    own = f"In this folder, with the `monkeys` package:\n\n```python\n{_OWN}```"
    if kind == "safetensors":
        return f"{own}\n\n`best.safetensors` holds named tensors and runs no code; `network.json` says of which model."
    program = next(path.name for path in folder.iterdir() if path.suffix in (".json", ".pdmodel"))
    return f"{own}\n\nWith Paddle alone (and `opencv-python`, `pillow`):\n\n```python\n{usage(kind, program)}```"


def usage(kind: str, program: str = "") -> str:
    """A program that names photo.jpg without this package."""
    return _PICTURE + (_ONNX if kind == "onnx" else _PADDLE.replace("{program}", program)) + _ANSWER


def _check(record: Mapping[str, Any]) -> str:
    checked = record["check"]
    text = (
        f"Made with {record['made_with']} from weights with SHA-256 `{record['weights_sha256']}` (epoch "
        f"{record['epoch']}). Loaded back and compared with the trained network on {checked['images']} "
        f"{checked['of']}: logits differ by at most {checked['largest_difference']:.2g}, the largest being "
        f"{checked['largest_logit']:.3g}; the first answer is the same on {checked['same_top1']}."
    )
    return f"{text}\n\nbfloat16: {record['bf16']['why']}." if record["format"] == "paddle" else text


def _interval(metrics: Mapping[str, Any], key: str) -> str:
    if metrics.get(key) is None:
        return "–"
    return f"{metrics[key]:.1%} ({metrics[f'{key}_low']:.1%} to {metrics[f'{key}_high']:.1%})"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    """A class's name as Markdown shows it on one line."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").replace("_", " ").split())
