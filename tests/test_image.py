"""The decoder, rule by rule; hostile files; and Preprocess."""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import re
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import hostile
import numpy as np
import pytest
from hostile import HEIGHT, WIDTH, chunk, encoded, photo, png, png_of
from PIL import Image, ImageFile, ImageOps

from monkeys.data import container
from monkeys.data.image import MAX_PIXELS, ImageError, Preprocess, decode, decode_with_info, read_file
from monkeys.errors import UserError

CORPUS = {case.name: case for case in hostile.cases()}
SCENE = np.asarray(photo())


def deviation(data: bytes, expected: np.ndarray = SCENE) -> float:
    """Mean absolute difference of a decoded file."""
    pixels = decode(data)
    assert pixels.shape == expected.shape
    assert pixels.dtype == np.uint8
    return float(np.abs(pixels.astype(int) - expected).mean())


def refuse(data: bytes | Path, words: str | None = None) -> ImageError:
    with pytest.raises(ImageError, match=words) as caught:
        decode(data)
    return caught.value


# the corpus


@pytest.mark.parametrize("case", CORPUS.values(), ids=CORPUS)
def test_corpus(case: hostile.Case) -> None:
    """Each file decodes to RGB or is refused with its reason; in one line, with its name."""
    if not case.refused:
        pixels, info = decode_with_info(case.data, case.name)
        assert pixels.shape == (info.height, info.width, 3)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable
        return
    with pytest.raises(ImageError) as caught:
        decode(case.data, case.name)
    assert re.search(case.refused, caught.value.reason)
    assert caught.value.path == case.name
    assert "\n" not in str(caught.value)
    assert "0x" not in caught.value.reason, "an address in memory helps nobody"


def test_corpus_has_kinds_enough() -> None:
    assert len(CORPUS) >= 60


def test_corpus_in_bounds() -> None:
    """Every file, as a file, in a process of its own: at most 5 s each and 700 MB in all beside what is imported."""
    run_bounded("corpus", 0, 700)


# colours


def test_plain_files_are_decoded_exactly() -> None:
    for kind, options in (("PNG", {}), ("BMP", {}), ("TIFF", {}), ("PPM", {}), ("WEBP", {"lossless": True})):
        assert deviation(encoded(photo(), kind, **options)) == 0, kind
    jpeg = encoded(photo(), "JPEG")
    with Image.open(io.BytesIO(jpeg)) as image:
        assert deviation(jpeg, np.asarray(image)) == 0


def test_grey_palette_and_one_bit() -> None:
    grey = np.asarray(photo().convert("L"))
    assert deviation(encoded(photo().convert("L"), "PNG"), np.stack([grey] * 3, -1)) == 0
    palette = photo().quantize(16)
    assert deviation(encoded(palette, "PNG"), np.asarray(palette.convert("RGB"))) == 0
    bits = photo().convert("1")
    assert set(np.unique(decode(encoded(bits, "PNG")))) == {0, 255}


def test_cmyk_is_converted() -> None:
    assert deviation(encoded(photo().convert("CMYK"), "JPEG", quality=95)) < 6
    assert deviation(encoded(photo().convert("CMYK"), "TIFF")) < 2


def test_lab_and_ycbcr_are_converted() -> None:
    white = Image.frombytes("LAB", (1, 1), bytes([255, 0, 0]))
    np.testing.assert_allclose(decode(encoded(white, "TIFF"))[0, 0], 255, atol=3)
    assert deviation(encoded(photo().convert("YCbCr"), "TIFF", compression="tiff_lzw")) < 3


def test_alpha_lies_on_white() -> None:
    values = np.zeros((1, 3, 4), np.uint8)
    values[..., :3] = (200, 0, 100)
    values[0, :, 3] = (0, 128, 255)
    for bits in (values, values.astype(np.uint16) * 257):
        pixels = decode(png_of(bits))[0]
        assert pixels[0].tolist() == [255, 255, 255], "a hidden colour must not show"
        np.testing.assert_allclose(pixels[1], [227, 127, 177], atol=1)
        assert pixels[2].tolist() == [200, 0, 100]
    grey = decode(png_of(values[..., [0, 3]]))[0]
    assert grey[0].tolist() == [255] * 3
    assert grey[2].tolist() == [200] * 3


def test_transparent_palette_entries_lie_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    for transparency in (1, bytes([255, 0])):
        pixels = decode(encoded(image, "PNG", transparency=transparency))[0]
        assert pixels.tolist() == [[10, 20, 30], [255, 255, 255]]


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_transparent_grey_of_a_png(bits: int) -> None:
    """The colour is given in the file's scale, whatever its depth."""
    top = 2**bits - 1
    value = top // 3
    row = b"\0" + (struct.pack(">H", value) if bits == 16 else bytes([value << (8 - bits)]))
    for clear, expected in ((value, 255), (top, round(255 * value / top))):
        data = png((1, 1), bits, 0, row, before=chunk(b"tRNS", struct.pack(">H", clear)))
        assert decode(data)[0, 0].tolist() == [expected] * 3


@pytest.mark.parametrize("scale", [1, 256])
def test_the_transparent_colour_of_a_png(scale: int) -> None:
    values = np.array([[[9, 8, 7], [1, 2, 3]]], np.uint8 if scale == 1 else np.uint16) * scale
    clear = chunk(b"tRNS", struct.pack(">HHH", *(channel * scale for channel in (9, 8, 7))))
    assert decode(png_of(values, before=clear))[0].tolist() == [[255, 255, 255], [1, 2, 3]]


# more than eight bits


def test_sixteen_bits_are_scaled_not_cut() -> None:
    values = np.array([[0, 128, 257, 32896, 65407, 65535]], np.uint16)
    expected = np.round(values / 257).astype(np.uint8)[..., None].repeat(3, -1)
    for data in (
        png_of(values),
        encoded(Image.fromarray(values), "TIFF"),
        b"P5 6 1 65535\n" + values.astype(">u2").tobytes(),
    ):
        assert np.array_equal(decode(data), expected)


def test_big_endian_sixteen_bits() -> None:
    assert np.array_equal(decode(CORPUS["grey16_big_endian.tif"].data), decode(CORPUS["grey16.tif"].data))


def test_sixteen_bit_colour() -> None:
    assert deviation(png_of(SCENE.astype(np.uint16) * 257)) == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.4, 255.0], [0, 100, 255]),
        ([0.0, 65535.0, 257.0], [0, 255, 1]),
        ([-2.0, 0.0, 2.0], [0, 128, 255]),
        ([0.0, 1e6, 5e5], [0, 255, 128]),
        ([np.nan, np.inf, 0.5], [0, 255, 128]),
        ([np.nan, np.nan, np.nan], [0, 0, 0]),
        ([-3.0, -3.0, -3.0], [0, 0, 0]),
        ([-3e38, 0.0, 3e38], [0, 128, 255]),
    ],
)
def test_floats_have_a_stated_white(values: list[float], expected: list[int]) -> None:
    image = Image.fromarray(np.array([values], np.float32))
    assert decode(encoded(image, "TIFF"))[0, :, 0].tolist() == expected


def test_integers_of_32_bits() -> None:
    for values, expected in (([0, 255, 100], [0, 255, 100]), ([-5, 0, 5], [0, 128, 255])):
        assert decode(encoded(Image.fromarray(np.array([values], np.int32)), "TIFF"))[0, :, 0].tolist() == expected


def test_a_picture_worked_on_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips, and pieces of a row, leave no seam."""
    data = {name: CORPUS[name].data for name in ("rgb.jpg", "rgba.png", "grey16.png", "float.tif", "palette_alpha.png")}
    whole = {name: decode(content) for name, content in data.items()}
    for pixels in (WIDTH * 5, 7):
        monkeypatch.setattr("monkeys.data.pixels._PART_PIXELS", pixels)
        assert all(np.array_equal(decode(content), whole[name]) for name, content in data.items())


# rotation, frames, names


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_rotation_is_applied(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    tags = {"tiffinfo": {0x0112: orientation}} if kind == "TIFF" else {"exif": exif}
    data = encoded(photo(), kind, **tags)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    pixels, info = decode_with_info(data)
    assert np.array_equal(pixels, expected)
    assert info.exif_rotated == (orientation != 1)
    assert (info.height, info.width) == pixels.shape[:2]


def test_exif_of_either_byte_order_and_damaged_exif() -> None:
    for order, mark in (("<", b"II*\0"), (">", b"MM\0*")):
        exif = mark + struct.pack(order + "IHHHIHH", 8, 1, 0x0112, 3, 1, 6, 0)
        assert container.orientation(exif) == 6
        assert container.orientation(exif[:-6]) == 1
    for value in (0, 9, 65535):
        assert container.orientation(b"II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x0112, 3, 1, value, 0)) == 1
    assert container.orientation(b"") == 1


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_with_one_warning(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = photo(seed=1), Image.new("RGB", (WIDTH, HEIGHT), "red")
    path = tmp_path / f"frames.{kind.lower()}"
    options = {"lossless": True} if kind == "WEBP" else {}
    path.write_bytes(encoded(first, kind, save_all=True, append_images=[second], **options))
    with caplog.at_level(logging.WARNING, "monkeys"):
        pixels = decode(path)
        decode(path)
    assert np.abs(pixels.astype(int) - np.asarray(first)).mean() < 12
    assert [str(path) in record.getMessage() for record in caplog.records] == [True]
    assert decode_with_info(path)[1].animated


def test_still_pictures_and_stereo_photographs_are_not_animated() -> None:
    for name in ("still.gif", "rgb.jpg", "multi_picture.jpg", "lossy.webp", "cmyk.tif"):
        assert not decode_with_info(CORPUS[name].data)[1].animated, name


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    seen = {}
    for name in ("n9151jpg", "a.jpg", "b.JPEG", "c.png", "d.tmp"):
        (tmp_path / name).write_bytes(CORPUS["rgb.jpg"].data)
        info = decode_with_info(tmp_path / name)[1]
        assert info.format == "JPEG"
        seen[name] = (info.has_suffix, info.suffix_matches)
    both, neither, wrong = (True, True), (False, False), (True, False)
    assert seen == {"n9151jpg": neither, "a.jpg": both, "b.JPEG": both, "c.png": wrong, "d.tmp": wrong}


def test_facts() -> None:
    for name, mode, bits, alpha in (
        ("rgb.jpg", "RGB", 8, False),
        ("cmyk.jpg", "CMYK", 8, False),
        ("grey.jpg", "L", 8, False),
        ("rgba16.png", "RGBA", 16, True),
        ("rgb16.png", "RGB", 16, False),
        ("rgb_transparent.png", "RGB", 8, True),
        ("grey16.pgm", "I", 16, False),
        ("float.tif", "F", 32, False),
        ("one_bit.png", "1", 1, False),
    ):
        info = decode_with_info(CORPUS[name].data)[1]
        assert (info.mode, info.bits, info.alpha) == (mode, bits, alpha), name


# refusals


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM"])
def test_no_cut_is_taken_for_a_picture(kind: str) -> None:
    """Cut anywhere but in the padding behind the last pixel, a file is refused, and so is one with a tail of zeros."""
    data = encoded(photo(64, 48), kind)
    for keep in np.linspace(0, len(data) - 4, 40).astype(int):
        refuse(data[:keep])
    if kind in ("JPEG", "PNG"):
        for keep in np.linspace(0, len(data) - 20, 40).astype(int):
            refuse(data[:keep] + bytes(len(data) - keep))


@pytest.mark.parametrize("progressive", [False, True])
def test_what_follows_a_jpeg_counts_for_nothing(progressive: bool) -> None:
    data = encoded(photo(64, 48), "JPEG", progressive=progressive)
    passes = container.examine(data).passes
    assert passes == (10 if progressive else 1)
    assert container.examine(data + b"\xff\xda" * 99).passes == passes  # a telephone's film
    damaged = data[: (at := data.rindex(b"\xff\xda")) + 2] + b"\xff\xff" + data[at + 4 :]
    assert container.examine(damaged).passes == passes  # a length that leads beyond the end: counted without it


def test_progressive_cuts() -> None:
    data = encoded(photo(64, 48), "JPEG", progressive=True)
    for keep in np.linspace(0, len(data) - 1, 60).astype(int):
        refuse(data[:keep])


def test_truncated_images_stay_refused_when_another_library_allows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    refuse(CORPUS["cut.jpg"].data, "truncated")
    refuse(CORPUS["cut.png"].data, "truncated")


def test_the_limit_is_exact() -> None:
    row = bytes(1 + MAX_PIXELS // 8000 // 8)
    assert decode(png((8000, 8000), 1, 0, row * 8000)).shape == (8000, 8000, 3)
    refuse(png((8000, 8001), 1, 0, row * 8001), "8000×8001 is more than 64 megapixels")


def test_the_size_is_refused_before_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: object) -> None:
        raise AssertionError("pixels were asked for")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    for name, case in CORPUS.items():
        if "megapixels" in case.refused:
            refuse(case.data, "megapixels")
            assert name


def test_run_length_bmp_is_decoded_when_small() -> None:
    def run_length(width: int, height: int) -> bytes:
        rows = (b"\xff\x01" * (width // 255) + bytes([width % 255, 1]) + b"\0\0") * height + b"\0\1"
        head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows), 0, 0, 2, 0)
        return b"BM" + struct.pack("<IHHI", 62 + len(rows), 0, 0, 62) + head + bytes(4) + b"\x09\x08\x07\0" + rows

    assert decode(run_length(300, 2)).reshape(-1, 3).tolist() == [[7, 8, 9]] * 600
    refuse(run_length(2000, 2000), "rare way")


@pytest.mark.parametrize("what", ["missing", "folder", "pipe", "dangling", "loop", "huge", "null"])
def test_what_is_no_file(tmp_path: Path, what: str) -> None:
    path = tmp_path / "x.jpg"
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what in ("dangling", "loop"):
        path.symlink_to(path if what == "loop" else tmp_path / "nowhere")
    elif what == "huge":
        with path.open("wb") as file:
            file.truncate(10**9)
    elif what == "null":
        path = Path("a\0b.jpg")
    error = refuse(path, "cannot be read|not a regular file|larger than")
    assert error.path == str(path)
    with pytest.raises(ImageError):
        read_file(path)


def test_errors_are_for_people_and_for_pickles() -> None:
    error = refuse(b"GIF89a", "damaged")
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, UserError)
    assert (copy.path, copy.reason, str(copy)) == (error.path, error.reason, str(error))
    assert str(ImageError("a\nb.jpg", "cut")) == "'a\\nb.jpg': cut"


@pytest.mark.parametrize(
    "raised", [MemoryError(), RecursionError("deep"), KeyError(3), struct.error("x"), OSError(5, "y")]
)
def test_whatever_pillow_raises_names_the_file(raised: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: object) -> None:
        raise raised

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    with pytest.raises(ImageError, match=r"some\.png: "):
        decode(encoded(photo(), "PNG"), "some.png")


def test_metadata_never_reaches_pillow() -> None:
    """EXIF, text and colour profiles are cut away; what decides on colour stays."""
    for name, gone, kept in (
        ("exif_bomb.jpg", b"Exif", b"JFIF"),
        ("multi_picture.jpg", b"MPF", b"JFIF"),
        ("cmyk.jpg", b"Exif", b"Adobe"),
        ("text_bomb.png", b"zTXt", b"IHDR"),
        ("profile_bomb.png", b"iCCP", b"IDAT"),
        ("rgb_transparent.png", b"tEXt", b"tRNS"),
    ):
        data = container.examine(CORPUS[name].data).data
        header = data[: data.find(b"\xff\xda")] if name.endswith("jpg") else data
        assert gone not in header, name
        assert kept in header, name


# many random files, in a process with bounds


def run_bounded(what: str, count: int, megabytes: int, folder: str = "") -> None:
    """Run hostile.py as a program; it must end by itself."""
    here = Path(__file__).parent
    environment = {
        **os.environ,
        "PYTHONPATH": f"{here}:{here.parent}",
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, here / "hostile.py", what, str(count), str(megabytes), folder]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr[-2000:])


@pytest.mark.slow
def test_ten_thousand_mutations() -> None:
    """No crash, no hang over 5 s, and at most 1 GB beside what is imported."""
    run_bounded("mutations", 10_000, 1000)


@pytest.mark.slow
def test_ten_thousand_mutations_of_photographs(real_data: Path) -> None:
    run_bounded("mutations", 10_000, 1000, str(real_data / "monkeys" / "training"))


def test_a_few_mutations() -> None:
    run_bounded("mutations", 300, 1000)


# Preprocess


def test_default_maps_to_minus_one_and_one() -> None:
    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[1] = 255
    values = Preprocess(4).normalise(images)
    assert values.shape == (2, 3, 4, 4)
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    assert np.all(values[0] == -1)
    np.testing.assert_allclose(values[1], 1, atol=1e-6)


def test_normalise_is_per_channel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 3), dtype=np.uint8)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = ((images / 255 - mean) / std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(Preprocess(5, mean, std).normalise(images), expected, atol=2e-6)


@pytest.mark.parametrize("fit", ["squash", "crop"])
@pytest.mark.parametrize("size", [(300, 200), (20, 30), (500, 20), (64, 64), (1, 1), (1, 900)])
def test_resize_gives_a_square(fit: str, size: tuple[int, int]) -> None:
    image = np.asarray(photo(*size))
    small = Preprocess(64, fit=fit).resize(image)
    assert small.shape == (64, 64, 3)
    assert small.dtype == np.uint8
    if size == (64, 64):
        assert np.array_equal(small, image)


def test_shrinking_averages_areas() -> None:
    """Every pixel counts."""
    image = np.random.default_rng(0).integers(0, 256, (256, 512, 3), dtype=np.uint8)
    blocks = image.reshape(64, 4, 64, 8, 3).mean((1, 3))
    assert np.abs(Preprocess(64).resize(image) - blocks).max() <= 0.51


def test_enlarging_does_not_overshoot() -> None:
    image = np.full((8, 8, 3), 100, np.uint8)
    image[:, 4:] = 200
    large = Preprocess(64).resize(image)
    assert (large.min(), large.max()) == (100, 200)


def test_one_axis_may_grow_while_the_other_shrinks() -> None:
    columns = np.random.default_rng(0).integers(0, 256, (1, 256, 3), dtype=np.uint8)
    blocks = columns.reshape(1, 64, 4, 3).mean(2)
    assert np.abs(Preprocess(64).resize(columns.repeat(8, 0)) - blocks).max() <= 0.51


def test_crop_takes_the_middle_square() -> None:
    image = np.zeros((40, 100, 3), np.uint8)
    image[:, 30:70] = 255
    assert Preprocess(20, fit="crop").resize(image).min() == 255
    assert Preprocess(20, fit="crop").resize(image.transpose(1, 0, 2)).min() == 255
    assert Preprocess(20).resize(image).min() == 0


def test_call_is_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(photo(), "PNG"))
    preprocess = Preprocess(16)
    expected = preprocess.normalise(preprocess.resize(SCENE)[None])[0]
    assert np.array_equal(preprocess(path), expected)
    assert np.array_equal(preprocess(path.read_bytes()), expected)


def test_result_does_not_depend_on_opencv_threads() -> None:
    image = np.asarray(photo(900, 700))
    before = cv2.getNumThreads()
    results = []
    for threads in (1, 4):
        cv2.setNumThreads(threads)
        results.append(Preprocess(224).resize(image))
    cv2.setNumThreads(before)
    assert np.array_equal(*results)


def test_survives_json() -> None:
    preprocess = Preprocess(128, (0.1, 0.2, 0.3), (1, 0.5, 0.25), "crop")
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict()))) == preprocess


@pytest.mark.parametrize(
    "change",
    [
        *({"size": value} for value in (0, -1, 10**6, 2.5, "224", True, None)),
        *(
            {"std": value}
            for value in ([0.5, 0.5, 0], [0.5, 0.5], [1, 1, -1], "abc", 0.5, [1, 1, None], [1, 1, float("nan")])
        ),
        *({"mean": value} for value in ([0.5] * 4, None, [float("inf")] * 3)),
        *({"fit": value} for value in ("pad", None, 1)),
        {"extra": 1},
    ],
)
def test_a_damaged_record_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UserError, match="preprocess"):
        Preprocess.from_dict({**Preprocess().to_dict(), **change})


def test_a_short_record_is_refused() -> None:
    with pytest.raises(UserError, match="expected"):
        Preprocess.from_dict({"size": 3})
    with pytest.raises(UserError, match="expected"):
        Preprocess.from_dict([])  # type: ignore[arg-type]


# photographs


def test_real_photographs_as_pillow_has_them(real_data: Path) -> None:
    files = sorted(path for path in (real_data / "monkeys" / "training").rglob("*") if path.is_file())[::60]
    assert len(files) >= 15
    for path in files:
        with Image.open(path) as image:
            assert np.array_equal(decode(path), np.asarray(image.convert("RGB"))), path
