"""The page to try a network: limits, many visitors with hostile files among them, and a browser."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hostile
import numpy as np
import psutil
import pytest
import requests
from conftest import paint
from invented_runs import write_run
from PIL import Image

from monkeys.cli import demo as command
from monkeys.cli import train
from monkeys.data.image import ImageError, Preprocess
from monkeys.errors import UserError
from monkeys.reports.saliency import cover
from monkeys.serving import demo, reading
from monkeys.serving.demo import Guide
from monkeys.serving.predictor import Predictor

ROOT = Path(__file__).parents[1]
OWN = ROOT / ".venv-demo"
SMALL_FILE = 2_000_000
VISITORS, ROUNDS, GROWTH_MB = 50, 4, 40


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A trained network of three classes, with examples to click."""
    place = tmp_path_factory.mktemp("demo")
    photos = paint(place / "photos", {"n0": 12, "n1": 12, "n2": 12}, size=96)
    settings = [
        *(f"data.root={photos}", f"run.dir={place / 'runs'}", f"data.cache_dir={place / 'cache'}", "data.size=48"),
        *("model.name=resnet18", "train.epochs=3", "train.batch_size=8", "augment.recipe=none"),
        *("optim.schedule.warmup_epochs=0", "data.val_fraction=0.25"),
    ]
    assert train.main(["-c", str(ROOT / "configs" / "monkeys_cpu.yaml"), "-o", *settings]) == 0
    return place / "runs" / "monkeys_cpu"


@pytest.fixture
def guide(run) -> Iterator[Guide]:
    made = Guide(run, cover)
    yield made
    made.close()


def photograph(tmp_path: Path, width: int = 90, height: int = 60) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(hostile.encoded(hostile.photo(width, height), "JPEG"))
    return path


def test_the_guide_says_what_the_predictor_says(guide, run, tmp_path):
    path = photograph(tmp_path)
    answer = guide.answer(path)
    expected = Predictor(run).predict(path)
    assert list(answer.probabilities) == [guess.name for guess in expected.guesses]
    assert list(answer.probabilities.values()) == pytest.approx([g.probability for g in expected.guesses], abs=1e-5)
    assert answer.looked.shape == (427, 640, 3)
    assert answer.looked.dtype == np.uint8


def test_a_file_that_is_no_photograph_costs_its_own_answer(guide, tmp_path):
    for name, data in (("text.jpg", b"no picture"), ("empty.jpg", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError):
            guide.answer(tmp_path / name)
    assert guide.answer(photograph(tmp_path)).probabilities


def test_size_time_and_memory_have_limits(tmp_path, monkeypatch):
    path = photograph(tmp_path)
    monkeypatch.setattr(reading, "MAX_BYTES", 100)
    with pytest.raises(ImageError, match="larger than"):
        reading.read_photo(path, Preprocess(32))
    monkeypatch.undo()
    hurried = reading.Reader(Preprocess(32))
    hurried.read(path)
    os.kill(hurried._process.pid, signal.SIGSTOP)  # it will not answer, however slow this machine is
    hurried._seconds = 1e-5
    with pytest.raises(ImageError, match="takes over 1e-05 s"):
        hurried.read(path)
    hurried.close()
    (tmp_path / "large.png").write_bytes(hostile.encoded(Image.new("RGB", (6000, 5000)), "PNG"))
    cramped = reading.Reader(Preprocess(32), megabytes=30)
    with pytest.raises(ImageError, match=r"memory|not supported|died"):
        cramped.read(tmp_path / "large.png")
    assert cramped.read(path).input.shape == (32, 32, 3)  # and goes on
    cramped.close()


def test_a_reader_that_dies_is_replaced(tmp_path):
    path = photograph(tmp_path)
    reader = reading.Reader(Preprocess(32))
    assert reader.read(path).input.shape == (32, 32, 3)
    reader._process.kill()
    reader._process.join()
    with pytest.raises(ImageError, match="died"):
        reader.read(path)
    assert reader.read(path).input.shape == (32, 32, 3)
    reader.close()


@pytest.mark.parametrize(
    ("width", "height", "fit", "shown"), [(300, 1, "squash", (2, 640)), (80, 40, "crop", (640,) * 2)]
)
def test_what_is_shown_has_the_shape_of_what_the_network_saw(tmp_path, width, height, fit, shown):
    path = photograph(tmp_path, width, height)
    assert reading.read_photo(path, Preprocess(16, fit=fit)).shown.shape[:2] == shown


def test_only_what_was_uploaded_is_read(tmp_path):
    inside, outside = tmp_path / "uploads" / "a.jpg", tmp_path / "own.jpg"
    folders = [tmp_path / "uploads", tmp_path / "examples"]
    assert demo._path_of(folders, SimpleNamespace(path=str(inside))) == str(inside)
    assert demo._path_of(folders, None) is None
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "link.jpg").symlink_to(outside)
    links_out = tmp_path / "uploads" / "link.jpg"
    for path in (outside, links_out, tmp_path / "uploads" / ".." / "own.jpg", "own.jpg", "http://localhost/a.jpg"):
        with pytest.raises(UserError, match="not uploaded"):
            demo._path_of(folders, SimpleNamespace(path=str(path)))


def test_names_that_differ_in_an_underscore_stay_two():
    assert demo._display_names(["red_fox", "red fox", "grey_wolf"]) == ["red_fox", "red fox", "grey wolf"]


def test_a_missing_gradio_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"requirements-demo\.txt"):
        demo._gradio()


def test_wrong_input_is_refused(capsys, tmp_path):
    assert command.main([str(tmp_path / "nowhere")]) == 2
    assert command.main([str(tmp_path), "--port", "70000"]) == 2
    assert "--port 70000" in capsys.readouterr().err


def test_examples_and_words_come_from_the_run(run, tmp_path):
    found = command.held_out(run, tmp_path)
    assert [path.name for path in found] == ["0.jpg", "1.jpg", "2.jpg"]
    assert "resnet18" in command.about(run)
    assert "95 % interval" in command.about(run)
    assert "the best epoch was chosen on them" in command.about(run)
    assert "eak-free" not in command.about(run)


def test_a_run_whose_examination_leaks_says_so_on_the_page(tmp_path):
    run = write_run(tmp_path / "run", [True] * 6, leaking=2)
    (run / "best.json").write_text(json.dumps({"model": {"name": "resnet18"}, "classes": [{}]}))
    assert "Leak-free top-1 100.0% on the 4 images" in command.about(run)


# the page itself, in an environment with Gradio


@pytest.fixture(scope="session")
def python_with_gradio() -> str:
    """This interpreter, or that of .venv-demo, which is made on demand."""
    if find_spec("gradio"):
        return sys.executable
    interpreter = OWN / "bin" / "python"
    if not (OWN / ".installed").exists():
        venv.create(OWN, with_pip=True)
        wanted = str(ROOT / "requirements-demo.txt")
        done = subprocess.run(
            [str(interpreter), "-m", "pip", "install", "-q", "-r", wanted], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"Gradio could not be installed: {done.stderr[-200:]}")
        (OWN / ".installed").touch()
    return str(interpreter)


@pytest.fixture(scope="module")
def page(run, python_with_gradio) -> Iterator[tuple[str, psutil.Process]]:
    """(address, process) of the page."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [python_with_gradio, str(ROOT / "tools" / "demo.py"), str(run), "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "PYTHONFAULTHANDLER": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    try:
        assert server.stdout is not None
        assert "open http" in server.stdout.readline()
        yield f"http://127.0.0.1:{port}", psutil.Process(server.pid)
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGABRT)  # says where it hangs
            server.wait()
    assert server.returncode == 130


def ask(address: str, path: str, seconds: float = 300, **claims: Any) -> list[Any]:
    """The page's answer to an uploaded file: [label, picture, refusal]. claims: what else is said of it."""
    body = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}} | claims]}
    event = requests.post(f"{address}/gradio_api/call/answer", json=body, timeout=seconds).json()["event_id"]
    text = requests.get(f"{address}/gradio_api/call/answer/{event}", timeout=seconds).text
    last = [line for line in text.splitlines() if line.startswith(("event:", "data:"))][-2:]
    if last[0] != "event: complete":
        raise ConnectionRefusedError(text)
    return list(json.loads(last[1].removeprefix("data:")))


def upload(address: str, name: str, data: bytes) -> str:
    answer = requests.post(f"{address}/gradio_api/upload", files={"files": (name, data)}, timeout=300)
    answer.raise_for_status()
    return str(answer.json()[0])


def megabytes(process: psutil.Process) -> float:
    everyone = [process, *process.children(recursive=True)]
    return sum(one.memory_info().rss for one in everyone) / 2**20


@pytest.mark.slow
def test_fifty_visitors_with_hostile_files_among_them(page, run, tmp_path):
    address, process = page
    corpus = [case for case in hostile.cases() if case.refused and len(case.data) < SMALL_FILE]
    photos = sorted((run.parents[1] / "photos").rglob("*.jpg"))[: VISITORS // 2]
    predictor = Predictor(run)
    expected = {path: predictor.predict(path).best for path in photos}

    def visit(number: int) -> str:
        if number % 2:
            case = corpus[number // 2 % len(corpus)]
            label, picture, refusal = ask(address, upload(address, "photo.jpg", case.data))
            return f"{case.name}: {label}" if label or picture or "cannot be used" not in refusal else ""
        path = photos[number // 2]
        label, picture, refusal = ask(address, upload(address, path.name, path.read_bytes()))
        best = expected[path]
        right = label["label"] == best.name and abs(label["confidences"][0]["confidence"] - best.probability) < 0.02
        return "" if right and picture and not refusal else f"{path}: {label} {refusal}"

    sizes = []
    for _ in range(ROUNDS):
        with ThreadPoolExecutor(VISITORS) as visitors:
            wrong = [said for said in visitors.map(visit, range(VISITORS)) if said]
        assert not wrong
        sizes.append(megabytes(process))
    sys.stdout.write(f"megabytes after each round: {[round(size) for size in sizes]}\n")
    assert sizes[-1] - sizes[1] < GROWTH_MB, sizes
    with pytest.raises(requests.HTTPError):
        upload(address, "huge.jpg", bytes(reading.MAX_BYTES + 1_000_000))
    for path in ("/etc/passwd", str(photos[0])):
        for claims in ({}, {"meta": {}}):
            with pytest.raises(ConnectionRefusedError, match=r"not uploaded|cannot be accessed"):
                ask(address, path, **claims)
    assert process.is_running()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium that reaches this machine and nothing else."""
    webdriver = pytest.importorskip("selenium.webdriver")
    for path in ("/usr/bin/chromium", "/usr/bin/chromedriver"):
        if not Path(path).exists():
            pytest.skip(f"{path} is missing: a browser is needed")
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1150,950"),
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


@pytest.mark.slow
def test_a_visitor_uploads_and_clicks(page, run, browser, tmp_path):
    from selenium.webdriver.support.ui import WebDriverWait

    address, _ = page
    wait = WebDriverWait(browser, 60)
    browser.get(address)
    photo = sorted((run.parents[1] / "photos" / "n2").glob("*.jpg"))[0]
    best = Predictor(run).predict(photo).best
    field = wait.until(lambda driver: driver.find_elements("css selector", "input[type=file]"))[0]
    field.send_keys(str(photo))

    def text() -> str:
        return str(browser.find_element("tag name", "body").text)

    wait.until(lambda driver: f"{best.name}\n{best.name}\n{best.probability:.0%}" in text())
    pictures = [image.get_attribute("src") for image in browser.find_elements("css selector", "img")]
    assert all(source.startswith(address) for source in pictures)
    browser.save_screenshot(str(tmp_path / "upload.png"))
    sys.stdout.write(f"screenshot: {tmp_path / 'upload.png'}\n")

    before = text()
    thumbnails = browser.find_elements("css selector", ".gallery-item")
    assert len(thumbnails) == 3
    thumbnails[0].click()
    wait.until(lambda driver: text() != before and "n0\nn0\n" in text())

    (tmp_path / "bad.jpg").write_bytes(b"This photograph is no longer available.")
    browser.get(address)
    field = wait.until(lambda driver: driver.find_elements("css selector", "input[type=file]"))[0]
    field.send_keys(str(tmp_path / "bad.jpg"))
    wait.until(lambda driver: "This file cannot be used: not an image" in text())
