"""The real VisualDL server shows a run's curves in a real browser."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from monkeys.training.runlog import COLUMNS, RunLog

SECONDS = 90  # of patience with the server and with the browser, on a busy machine


def write_run(folder: Path) -> None:
    folder.mkdir(parents=True)
    log = RunLog(folder)
    for step in range(1, 41):
        log.step(step, {"loss": 2.3 / step, "lr": 0.001 * step})
        if step % 10 == 0:
            log.epoch(dict.fromkeys(COLUMNS, step / 40) | {"epoch": step // 10, "step": step})
    log.close()


@contextlib.contextmanager
def serve(logdir: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("visualdl")), "--logdir", str(logdir), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--language", "en", "--disable-telemetry"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}/app"
    finally:
        os.killpg(server.pid, 9)
        server.wait()


@contextlib.contextmanager
def browse() -> Iterator[object]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium") or shutil.which("google-chrome"))
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1000"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/api/runs", timeout=5) as reply:
            return b"curves" in reply.read()
    except OSError:
        return False


def coloured_pixels(png: bytes) -> int:
    """Of lines: neither grey, as axes and letters are, nor white."""
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).astype(int)
    return int((image.max(axis=2) - image.min(axis=2) > 60).sum())


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("chromedriver") and (shutil.which("chromium") or shutil.which("google-chrome"))),
    reason="no browser: chromium and chromedriver are needed",
)
def test_curves_are_drawn(tmp_path):
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    write_run(tmp_path / "runs" / "curves")
    with serve(tmp_path / "runs") as address, browse() as driver:
        WebDriverWait(driver, SECONDS).until(lambda _: answers(address))
        driver.get(f"{address}/scalar")

        def drawn(_: object) -> bool:
            canvases = driver.find_elements(By.TAG_NAME, "canvas")
            return bool(canvases) and any(coloured_pixels(canvas.screenshot_as_png) > 200 for canvas in canvases)

        WebDriverWait(driver, SECONDS, ignored_exceptions=[WebDriverException]).until(drawn)  # pages redraw
        if picture := os.environ.get("KEEP_SCREENSHOT"):
            driver.save_screenshot(picture)


def test_a_line_is_told_from_axes():
    blank = np.full((50, 80, 3), 255, np.uint8)
    cv2.rectangle(blank, (5, 5), (75, 45), (120, 120, 120))
    line = blank.copy()
    cv2.line(line, (5, 40), (75, 10), (200, 80, 20), 4)
    assert coloured_pixels(cv2.imencode(".png", blank)[1].tobytes()) == 0
    assert coloured_pixels(cv2.imencode(".png", line)[1].tobytes()) > 200
