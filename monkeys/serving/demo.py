"""A page to try a network: drop a photograph, see the answer and where the network looked. The only door to Gradio."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle

from ..data.image import ImageError
from ..errors import UserError
from ..evaluation.saliency import NoPictureError, grad_cam
from .network import Network, load_network
from .reading import MAX_BYTES, Photo, Reader

TOP = 5
WAITING = 100  # requests that may queue; one more is told to come back later
_QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False", "HF_HUB_OFFLINE": "1"}
_CSS = """
.gradio-container {max-width: 1000px !important; margin: 0 auto}
"""

Cover = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Answer:
    """probabilities: name of a class -> calibrated probability, the best first. looked: [H, W, 3] uint8."""

    probabilities: dict[str, float]
    looked: np.ndarray


class Guide:
    """A network that answers one photograph at a time. cover: (image, heat) -> the image under its heat map.

    All that touches Paddle happens in one thread, so that its memory does not grow with the number of visitors.
    """

    def __init__(self, run: Path, cover: Cover) -> None:
        self._cover = cover
        self._thread = ThreadPoolExecutor(1, "network")
        self.network: Network = self._thread.submit(load_network, run).result()
        self._reader = Reader(self.network.preprocess)
        self._names = _display_names([info.name for info in self.network.classes])

    def answer(self, path: Path) -> Answer:
        """Raises ImageError with the reason where the file cannot be used."""
        photo = self._reader.read(path)
        return self._thread.submit(self._answer, photo).result()

    def close(self) -> None:
        """End the thread and the process that reads."""
        self._reader.close()
        self._thread.shutdown()

    def _answer(self, photo: Photo) -> Answer:
        network = self.network
        images = network.preprocess.normalise(photo.input[None])
        with paddle.no_grad():
            logits = network.model(paddle.to_tensor(images)) / network.temperature
            probabilities = paddle.nn.functional.softmax(logits, axis=1).numpy()[0]
        best = np.argsort(-probabilities, kind="stable")[:TOP]
        return Answer({self._names[i]: float(probabilities[i]) for i in best}, self._looked(photo, images, best[:1]))

    def _looked(self, photo: Photo, images: np.ndarray, asked: np.ndarray) -> np.ndarray:
        try:
            (heat,) = grad_cam(self.network.model, images, asked)
        except NoPictureError:
            return photo.shown
        height, width = photo.shown.shape[:2]
        return self._cover(photo.shown, np.clip(cv2.resize(heat, (width, height)), 0, 1))


def build_page(guide: Guide, title: str, about: str, examples: Sequence[Path]) -> Any:
    """The page as Gradio's Blocks. examples: photographs to click, in a folder that holds nothing else."""
    gradio = _gradio()
    from gradio.processing_utils import get_upload_folder

    def answer(path: str | None) -> tuple[dict[str, float] | None, np.ndarray | None, str]:
        if not path:
            return None, None, ""
        try:
            found = guide.answer(Path(path))
        except ImageError as error:
            return None, None, f"**This file cannot be used:** {error.reason}"
        return found.probabilities, found.looked, ""

    of_examples = [path.parent for path in examples[:1]]
    gradio.set_static_paths([str(folder) for folder in of_examples])
    with gradio.Blocks(title=title, analytics_enabled=False, delete_cache=(300, 900)) as page:
        gradio.Markdown(f"# {title}\n\n{about}")
        with gradio.Row():
            with gradio.Column():
                photo = gradio.Image(type="filepath", sources=["upload", "clipboard"], label="Photograph", height=360)
                photo.preprocess = partial(_path_of, [Path(get_upload_folder()), *of_examples])
                refused = gradio.Markdown()
                if examples:
                    shown = [[str(path)] for path in examples]
                    samples = gradio.Dataset(components=[photo], samples=shown, label="Or one of these", type="index")
            with gradio.Column():
                names = gradio.Label(num_top_classes=TOP, label="What the network says")
                gradio.Markdown("**Where it looked** for its first answer: bright places spoke for it")
                looked = gradio.Image(show_label=False, height=280, interactive=False, buttons=["fullscreen"])
        if examples:
            samples.click(lambda index: str(examples[index]), samples, photo, api_visibility="private")
        photo.change(answer, photo, [names, looked, refused], api_name="answer")
    page.queue(max_size=WAITING, default_concurrency_limit=1)
    return page


def serve(page: Any, host: str, port: int) -> str:
    """Offer the page while this process lives; returns its address. UserError where the port is taken."""
    gradio = _gradio()
    theme = gradio.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # nothing from the web
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            max_file_size=MAX_BYTES,
            show_error=True,
            quiet=True,
            ssr_mode=False,
            footer_links=[],
            enable_monitoring=False,
            prevent_thread_lock=True,
            theme=theme,
            css=_CSS,
        )
    except OSError as error:
        raise UserError(f"--port {port}: {error}") from None
    return str(address)


def _gradio() -> Any:
    """Gradio, told to ask nothing of the network and to keep no record of visitors."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import gradio
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise UserError("Gradio is not installed: pip install -r requirements-demo.txt") from None
    return gradio


def _path_of(folders: Sequence[Path], upload: Any) -> str | None:
    """The uploaded file, instead of Gradio's own reading of the picture, which knows no limits.

    Raises UserError for a path outside these folders: Gradio itself looks only at what calls itself an upload.
    """
    if not upload or not upload.path:
        return None
    path = Path(upload.path).resolve()
    if not any(path.is_relative_to(folder.resolve()) for folder in folders):
        raise UserError("this file was not uploaded")
    return str(path)


def _display_names(names: Sequence[str]) -> list[str]:
    """Blanks for underscores, but where two names would become one."""
    shown = [name.replace("_", " ") for name in names]
    counts = Counter(shown)
    return [new if counts[new] == 1 else old for old, new in zip(names, shown, strict=True)]
