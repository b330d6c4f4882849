"""A page to try a trained network in the browser: `RUN [--host 127.0.0.1 --port 7860]`."""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from .. import runtime
from ..errors import UserError
from ..evaluation.metrics import leak_free_words
from . import DONE, entry, existing_run, say

log = logging.getLogger("monkeys")

EXAMPLES = 8


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parse = argparse.ArgumentParser(prog="demo", description="A page to try a trained network in the browser.")
    parse.add_argument("run", type=Path, help="run folder")
    parse.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets other machines in")
    parse.add_argument("--port", type=int, default=7860, help="port to listen on (7860)")
    return parse


@entry
def main(argv: Sequence[str] | None = None) -> int:
    """Offer the page until Ctrl-C."""
    args = parser().parse_args(argv)
    if not 0 < args.port < 2**16:
        raise UserError(f"--port {args.port}: expected 1 to {2**16 - 1}")
    existing_run(args.run)
    log.info(runtime.tune_cpu())
    runtime.import_paddle()
    runtime.quiet_opencv()
    from ..reports.saliency import cover
    from ..serving.demo import Guide, build_page, serve

    guide = Guide(args.run, cover)
    try:
        with tempfile.TemporaryDirectory(prefix="monkeys-examples-") as folder:
            examples = held_out(args.run, Path(folder))
            page = build_page(guide, "Which one is it?", about(args.run), examples)
            say(f"open {serve(page, args.host, args.port)} in a browser; Ctrl-C ends it")
            try:
                threading.Event().wait()
            finally:
                page.close(verbose=False)
    finally:
        guide.close()
    return DONE


def about(run: Path) -> str:
    """What visitors should know, in a few sentences of Markdown."""
    record = json.loads((run / "best.json").read_text(encoding="utf-8"))
    text = (
        f"Drop a photograph, and **{record['model']['name']}** names which of its {len(record['classes'])} classes it "
        f"shows. It names one whatever is in the picture. Run: `{run.resolve().name}`."
    )
    metrics = run / "metrics.json"
    if metrics.exists():
        found = json.loads(metrics.read_text(encoding="utf-8"))
        chosen = "; the best epoch was chosen on them" if found["selected_on_this_split"] else ""
        text += (
            f" Of {found['n']} held-out photographs it named **{found['top1']:.0%}** right "
            f"(95 % interval {found['top1_low']:.0%} to {found['top1_high']:.0%}{chosen})."
        )
        if leaks := leak_free_words(found):
            text += f" {leaks[0].upper()}{leaks[1:]}."
    return text + " Uploads stay on the machine that runs this page and are deleted after a quarter of an hour."


def held_out(run: Path, folder: Path) -> list[Path]:
    """A few photographs of the validation split, of different classes, copied small into the folder; none if gone."""
    import cv2

    from ..assessment import read_manifest
    from ..config import load_config
    from ..data.image import ImageError, Preprocess
    from ..serving.reading import read_photo

    try:
        manifest = read_manifest(run, load_config(run / "config.yaml"))
    except UserError as error:
        log.warning("no examples to click: %s", error)
        return []
    first = {row.label: row for row in reversed(manifest.of("val"))}
    chosen = [first[label] for label in sorted(first)][:EXAMPLES]
    written: list[Path] = []
    for row in chosen:
        try:
            shown = read_photo(manifest.root / row.path, Preprocess(8)).shown
        except ImageError as error:
            log.warning("left out of the examples: %s", error)
            continue
        written.append(folder / f"{len(written)}.jpg")
        cv2.imwrite(str(written[-1]), shown[..., ::-1])
    return written
