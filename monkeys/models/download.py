"""Paddle's published ImageNet weights: where they are, and fetching one file with checksum and time limits."""

from __future__ import annotations

import hashlib
import http.client
import logging
import math
import os
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..errors import UserError
from ..progress import progress

log = logging.getLogger("monkeys")

CHUNK = 1 << 20
_RESNETS = frozenset({"resnet18", "resnet34", "resnet50", "resnet101", "resnet152"})
_PADDLE_KEYS = {
    "mobilenet_v1": "mobilenetv1_1.0",
    "mobilenet_v2": "mobilenetv2_1.0",
    "mobilenet_v3_small": "mobilenet_v3_small_x1.0",
    "mobilenet_v3_large": "mobilenet_v3_large_x1.0",
}


def default_cache() -> Path:
    """Paddle's own folder for downloaded weights, so that what it fetched before is not fetched again."""
    return Path("~/.cache/paddle/hapi/weights").expanduser()


def published(name: str) -> tuple[str, str]:
    """URL and MD5 of the ImageNet weights for our model `name`; UserError lists the models that have some."""
    table = _tables()
    # Our googlenet has batch norm, Paddle's has none: only the latter's weights exist.
    known = {key: table[key] for key in table if key != "googlenet"}
    known |= {f"paddle_{key}": table[key] for key in (*_RESNETS, "googlenet")}
    known |= {ours: known.pop(paddles) for ours, paddles in _PADDLE_KEYS.items()}
    if name not in known:
        raise UserError(f"no ImageNet weights are published for {name}; there are some for: {', '.join(sorted(known))}")
    return known[name]


def _tables() -> dict[str, tuple[str, str]]:
    from paddle.vision.models.alexnet import model_urls as alexnet
    from paddle.vision.models.densenet import model_urls as densenet
    from paddle.vision.models.googlenet import model_urls as googlenet
    from paddle.vision.models.inceptionv3 import model_urls as inception
    from paddle.vision.models.mobilenetv1 import model_urls as mobilenet1
    from paddle.vision.models.mobilenetv2 import model_urls as mobilenet2
    from paddle.vision.models.mobilenetv3 import model_urls as mobilenet3
    from paddle.vision.models.resnet import model_urls as resnet
    from paddle.vision.models.shufflenetv2 import model_urls as shufflenet
    from paddle.vision.models.squeezenet import model_urls as squeezenet
    from paddle.vision.models.vgg import model_urls as vgg

    mobilenets = {**mobilenet1, **mobilenet2, **mobilenet3}
    return {**alexnet, **densenet, **googlenet, **inception, **mobilenets, **resnet, **shufflenet, **squeezenet, **vgg}


def fetch(url: str, md5: str, folder: Path, *, timeout: float = 30.0, deadline: float = 3600.0) -> Path:
    """The file behind `url` in `folder`, downloaded unless a copy with the right MD5 is there already.

    timeout: seconds without an answer; deadline: seconds for the whole file. The file appears only when it is complete
    and its checksum is right. UserError, one line, says what went wrong and where to put a copy by hand.
    """
    target = folder / url.rsplit("/", 1)[-1]
    if target.is_file() and _md5_of(target) == md5:
        log.info("weights: %s (MD5 %s), downloaded before", target, md5)
        return target
    log.info("weights: downloading %s to %s (MD5 %s)", url, target, md5)
    part: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f"{target.name}.", suffix=".part", delete=False) as file:
            part = Path(file.name)
            found = _download(url, file, timeout, time.monotonic() + deadline)
            os.fsync(file.fileno())
        if found != md5:
            raise OSError(f"its MD5 is {found}, expected {md5}")
        part.replace(target)
    except (OSError, http.client.HTTPException) as error:
        raise UserError(
            f"cannot download {url}: {_line(error)}; put a copy (MD5 {md5}) at {target}, "
            "or give the path of a weights file as model.pretrained"
        ) from None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    return target


def _download(url: str, file: IO[bytes], timeout: float, end: float) -> str:
    """Write the answer to `file` and return its MD5; OSError where it is late or ends early."""
    digest = hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(url, timeout=timeout) as response:
        length = int(response.headers.get("Content-Length") or 0)
        received = 0
        chunks = _chunks(response, end)
        for chunk in progress(chunks, total=math.ceil(length / CHUNK) or None, desc="weights", unit="MB"):
            file.write(chunk)
            digest.update(chunk)
            received += len(chunk)
    if length and received != length:
        raise OSError(f"the answer ended after {received} of {length} bytes")
    return digest.hexdigest()


def _chunks(response: http.client.HTTPResponse, end: float) -> Iterator[bytes]:
    """Pieces of about CHUNK bytes; read1 hands over what has come, so a trickle cannot outlast the deadline."""
    waiting = bytearray()
    while block := response.read1(CHUNK):
        if time.monotonic() > end:
            raise TimeoutError("it took longer than allowed")
        waiting += block
        if len(waiting) >= CHUNK:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


def _md5_of(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
