"""A corpus of odd and hostile image files, made in code: what a folder of photographs from the web may hold."""

from __future__ import annotations

import io
import resource
import signal
import struct
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 48, 32


@dataclass(frozen=True)
class Case:
    """A file. refused: a regular expression for the reason, or empty where it must decode."""

    name: str
    data: bytes
    refused: str = ""


def photo(width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> Image.Image:
    """A smooth coloured scene with a little noise, [height, width] RGB."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    waves = [np.sin(6 * x + phase) + np.cos(9 * y - phase) for phase in (0.0, 1.5, 3.0)]
    noise = np.random.default_rng(seed).normal(0, 4, (height, width, 3))
    return Image.fromarray(np.clip(128 + 50 * np.stack(waves, -1) + noise, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """A PNG chunk with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    size: tuple[int, int], bits: int, colour: int, rows: bytes, *, before: bytes = b"", after: bytes = b""
) -> bytes:
    """A PNG by hand, for kinds that Pillow does not write. rows: with a filter byte before each."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + header + before + body + after + chunk(b"IEND", b"")


def png_of(values: np.ndarray, **chunks: bytes) -> bytes:
    """A PNG of [H, W] or [H, W, C] values, 8 or 16 bits by their type, colour by C."""
    values = values if values.ndim == 3 else values[..., None]
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2]]
    rows = b"".join(b"\0" + row.astype(f">u{values.itemsize}").tobytes() for row in values)
    return png((values.shape[1], values.shape[0]), 8 * values.itemsize, colour, rows, **chunks)


def tiff(entries: list[tuple[int, int, int, int]], tail: bytes = b"", order: str = "<") -> bytes:
    """A TIFF whose first directory has these (tag, kind, count, value or offset) entries; tail follows it."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    packed = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return mark + struct.pack(order + "IH", 8, len(entries)) + packed + b"\0\0\0\0" + tail


def segment(marker: int, content: bytes) -> bytes:
    """A JPEG segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def cases() -> list[Case]:
    """All files of the corpus; deterministic."""
    return [*_colours(), *_deep(), *_containers(), *_cut(), *_not_images(), *_bombs()]


def write_corpus(folder: Path) -> list[Case]:
    """Write the corpus into a folder and return it."""
    corpus = cases()
    for case in corpus:
        (folder / case.name).write_bytes(case.data)
    return corpus


def _colours() -> list[Case]:
    image = photo()
    clear = image.copy()
    clear.putalpha(Image.linear_gradient("L").resize(image.size))
    ycck = bytearray(encoded(image.convert("CMYK"), "JPEG"))
    ycck[ycck.index(b"Adobe") + 11] = 2  # the transform flag: CMYK is read as YCCK
    palette = image.quantize(16)
    return [
        Case("rgb.jpg", encoded(image, "JPEG")),
        Case("progressive.jpg", encoded(image, "JPEG", progressive=True)),
        Case("grey.jpg", encoded(image.convert("L"), "JPEG")),
        Case("cmyk.jpg", encoded(image.convert("CMYK"), "JPEG")),
        Case("ycck.jpg", bytes(ycck)),
        Case("rgba.png", encoded(clear, "PNG")),
        Case("grey_alpha.png", encoded(clear.convert("LA"), "PNG")),
        Case("palette.png", encoded(palette, "PNG")),
        Case("palette_transparent.png", encoded(palette, "PNG", transparency=3)),
        Case("palette_alpha.png", encoded(palette, "PNG", transparency=bytes(range(0, 256, 16)))),
        Case("rgb_transparent.png", encoded(image, "PNG", transparency=image.getpixel((0, 0)))),
        Case("one_bit.png", encoded(image.convert("1"), "PNG")),
        Case("lab.tif", encoded(Image.frombytes("LAB", (2, 2), bytes(range(100, 112))), "TIFF")),
        Case("cmyk.tif", encoded(image.convert("CMYK"), "TIFF", compression="tiff_lzw")),
        _as_pillow_reads("ycbcr.tif", encoded(image.convert("YCbCr"), "TIFF")),
    ]


def _as_pillow_reads(name: str, data: bytes) -> Case:
    """A file that some versions of Pillow cannot read themselves: there it must be refused."""
    try:
        Image.open(io.BytesIO(data)).load()
    except OSError:
        return Case(name, data, "damaged or of a kind that is not supported")
    return Case(name, data)


def _deep() -> list[Case]:
    ramp = np.linspace(0, 65535, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH)
    grey = ramp.astype(np.uint16)
    colour = np.stack([grey, grey[::-1], grey[:, ::-1]], -1)
    alpha = np.concatenate([colour, grey[..., None]], -1)
    big_endian = tiff(
        [
            *((tag, 3, 1, value << 16) for tag, value in ((256, WIDTH), (257, HEIGHT), (258, 16), (259, 1), (262, 1))),
            *((273, 4, 1, 122), (277, 3, 1, 1 << 16), (278, 3, 1, HEIGHT << 16), (279, 4, 1, grey.nbytes)),
        ],
        grey.astype(">u2").tobytes(),
        order=">",
    )
    return [
        Case("grey16.png", png_of(grey)),
        Case("rgb16.png", png_of(colour)),
        Case("rgba16.png", png_of(alpha)),
        Case("grey_alpha16.png", png_of(alpha[..., :2])),
        Case("grey16.tif", encoded(Image.fromarray(grey), "TIFF")),
        Case("grey16_big_endian.tif", big_endian),
        Case("grey16.pgm", b"P5 %d %d 65535\n" % (WIDTH, HEIGHT) + grey.astype(">u2").tobytes()),
        Case("float.tif", encoded(Image.fromarray((ramp / 65535).astype(np.float32)), "TIFF")),
        Case("int32.tif", encoded(Image.fromarray(ramp.astype(np.int32)), "TIFF")),
    ]


def _containers() -> list[Case]:
    image = photo()

    def several(kind: str) -> bytes:
        return encoded(photo(), kind, save_all=True, append_images=[photo(seed=seed) for seed in (1, 2)])

    jpeg = encoded(image, "JPEG")
    turned = Image.Exif()
    turned[0x0112] = 6
    return [
        Case("rotated.jpg", encoded(image, "JPEG", exif=turned)),
        Case("rotated.png", encoded(image, "PNG", exif=turned)),
        Case("rotated.webp", encoded(image, "WEBP", exif=turned)),
        Case("rotated.tif", encoded(image, "TIFF", tiffinfo={0x0112: 6})),
        Case("broken_exif.jpg", jpeg[:2] + segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff") + jpeg[2:]),
        Case("no_suffix_jpg", jpeg),
        Case("really_a_jpeg.png", jpeg),
        Case("a name with spaces, ünïcode and\nnewline.jpg", jpeg),
        Case("trailing_junk.jpg", jpeg + bytes(range(256)) * 40),
        Case("multi_picture.jpg", several("MPO")),
        Case("animated.gif", several("GIF")),
        Case("animated.png", several("PNG")),
        Case("animated.webp", several("WEBP")),
        Case("pages.tif", several("TIFF")),
        Case("still.gif", encoded(image, "GIF")),
        Case("still.bmp", encoded(image, "BMP")),
        Case("still.ppm", encoded(image, "PPM")),
        Case("lossy.webp", encoded(image, "WEBP")),
        Case("lossless_alpha.webp", encoded(image.convert("RGBA"), "WEBP", lossless=True)),
        Case("one_pixel.png", encoded(photo(1, 1), "PNG")),
        Case("long.png", encoded(photo(20_000, 1), "PNG")),
    ]


def _cut() -> list[Case]:
    image = photo(200, 150)
    jpeg, progressive = encoded(image, "JPEG"), encoded(image, "JPEG", progressive=True)
    still = {kind: encoded(image, kind) for kind in ("PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")}
    damaged = bytearray(still["PNG"])
    damaged[len(damaged) // 2] ^= 0xFF
    half = len(jpeg) // 2
    cut = [Case(f"cut.{kind.lower()}", data[: len(data) * 2 // 3], "truncated|damaged") for kind, data in still.items()]
    return [
        *cut,
        Case("cut.jpg", jpeg[:half], "truncated"),
        Case("cut_in_header.jpg", jpeg[:100], "truncated"),
        Case("cut_progressive.jpg", progressive[: len(progressive) // 2], "truncated"),
        Case("zero_tail.jpg", jpeg[:half] + bytes(len(jpeg) - half), "truncated"),
        Case("no_end.png", still["PNG"][:-12], "truncated"),
        Case("bad_checksum.png", bytes(damaged), "damaged"),
        Case("zero_width.png", png((0, 5), 8, 2, b""), "damaged|no pixels"),
    ]


def _not_images() -> list[Case]:
    return [
        Case("empty.jpg", b"", "empty"),
        Case("text.jpg", b"This photograph is no longer available.\n" * 9, "not an image"),
        Case("page.jpg", b"<!DOCTYPE html><html><body>404</body></html>", "HTML"),
        Case("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "SVG"),
        Case("paper.jpg", b"%PDF-1.7\n%\xe2\xe3\n", "PDF"),
        Case("phone.jpg", struct.pack(">I", 24) + b"ftypheic" + bytes(200), "HEIC"),
        Case("archive.jpg", b"PK\x03\x04" + bytes(100), "archive"),
        Case("pickle.jpg", b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system.", "not an image"),
        Case("plain_text.ppm", b"P3 2 2 255\n" + b"1 2 3 " * 4, "PNM"),
        Case("noise.jpg", np.random.default_rng(0).bytes(5000), "not an image"),
    ]


def _repeat_last_scan(data: bytes, times: int) -> bytes:
    start, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[start:end] * times + data[end:]


def _bombs() -> list[Case]:
    image = photo()
    jpeg, small = encoded(image, "JPEG"), encoded(image, "PNG")
    giant_jpeg = bytearray(jpeg)
    start = giant_jpeg.index(b"\xff\xc0")
    giant_jpeg[start + 5 : start + 9] = b"\xff\xdc\xff\xdc"
    many_scans = _repeat_last_scan(encoded(Image.new("L", (4000, 4000), 99), "JPEG", progressive=True), 60)
    giant_webp = bytearray(encoded(image, "WEBP", save_all=True, append_images=[photo(seed=1)]))
    giant_webp[24:30] = b"\xfe\x3f\0" * 2  # a canvas far larger than its frames
    zeros = zlib.compress(bytes(200_000_000), 9)
    text = small[:33] + chunk(b"zTXt", b"note\0\0" + zeros) + small[33:]
    profile = small[:33] + chunk(b"iCCP", b"icc\0\0" + zeros) + small[33:]
    empty = small[:33] + chunk(b"IDAT", b"") * 300_000 + small[33:]
    tags = [(700 + index, 7, 2_000_000, 8) for index in range(4000)]
    exif = tiff([(40_000 + index, 7, 60_000, 8) for index in range(5000)])
    loop = struct.pack("<HHII", 0x0112, 3, 1, 1)
    long_gif = b"GIF89a\x01\0\x01\0\0\0\0!\xfe" + b"\x01a" * (2**24 + 9) + b"\0;"
    pixels = "megapixels"
    return [
        Case("giant.png", png((60_000, 60_000), 8, 2, b""), pixels),
        Case("zeros_65_megapixels.png", png((8100, 8100), 1, 0, bytes(1014 * 8100)), pixels),
        Case("giant.gif", b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\0;", pixels),
        Case("giant.jpg", bytes(giant_jpeg), pixels),
        Case("giant.webp", bytes(giant_webp), "16383×16383"),
        Case(
            "giant.bmp", b"BM" + struct.pack("<IIIIiiHHIIiiII", 0, 0, 54, 40, 50_000, 50_000, 1, 24, *[0] * 6), pixels
        ),
        Case("giant.ppm", b"P6 50000 50000 255\n" + bytes(10), pixels),
        Case("giant.tif", tiff([(256, 4, 1, 60_000), (257, 4, 1, 60_000), (273, 4, 1, 8)]), pixels + "|damaged"),
        Case("scans.jpg", many_scans, "too long"),
        Case("segments.jpg", jpeg[:2] + segment(0xFE, b"") * 20_000 + jpeg[2:], "segments"),
        Case("fill_bytes.jpg", jpeg[:2] + b"\xff" * 10_000_000 + jpeg[2:], "segments"),
        Case("text_bomb.png", text),
        Case("profile_bomb.png", profile),
        Case("exif_bomb.jpg", jpeg[:2] + segment(0xE1, b"Exif\0\0" + exif[:60_000]) + jpeg[2:]),
        Case("exif_bomb.png", small[:33] + chunk(b"eXIf", exif + bytes(2_000_000)) + small[33:]),
        Case("chunks.png", empty, "chunks"),
        Case("tags_bomb.tif", tiff(tags, bytes(2_000_000)), "claims"),
        Case("circular.tif", tiff([(0x8769, 4, 1, 8)] * 3) + loop, "damaged|truncated|claims"),
        Case("comments.gif", long_gif, "GIF larger"),
        Case(
            "tiles.tif",
            tiff(
                [(256, 4, 1, 7000), (257, 4, 1, 7000), (322, 3, 1, 1), (323, 3, 1, 1), (324, 4, 4 * 10**6, 8)],
                bytes(17_000_000),
            ),
            "claims",
        ),
    ]


# as a program: decode the corpus, or many damaged files, with little memory and little time


def seeds(folder: str) -> list[bytes]:
    """Whole files to be damaged: generated ones, and some of a folder's."""
    image = photo(160, 120)
    kinds: list[tuple[str, dict[str, Any]]] = [("JPEG", {"progressive": True}), ("TIFF", {"compression": "tiff_lzw"})]
    kinds += [(kind, {}) for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")]
    files = [encoded(image, kind, **options) for kind, options in kinds]
    files.append(encoded(image.convert("CMYK"), "JPEG"))
    files.append(encoded(image.quantize(16), "PNG", transparency=3))
    files.append(png_of(np.asarray(image).astype(np.uint16) * 257))
    found = sorted(path for path in Path(folder).rglob("*") if path.is_file())[::40] if folder else []
    return files + [path.read_bytes() for path in found]


def damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """One to eight changes, half of them near the start, where the headers are."""
    data = bytearray(whole)
    for _ in range(rng.integers(1, 9)):
        first = int(rng.integers(len(data) if rng.random() < 0.5 else min(700, len(data))))
        removed, put = _change(data[first:], int(rng.integers(1, 40)), rng)
        data[first : first + removed] = put
        if len(data) < 2:
            break
    return bytes(data)


def _change(data: bytearray, length: int, rng: np.random.Generator) -> tuple[int, bytes]:
    """How many bytes go, and what takes their place."""
    extreme = (2 ** int(rng.integers(33)) - 1).to_bytes(5, "big")[1:]
    changes = (
        (1, rng.bytes(1)),
        (length, rng.bytes(length)),
        (length, b""),
        (0, rng.bytes(length)),
        (4, extreme),
        (0, bytes(data[: 50 * length])),
    )
    return changes[rng.integers(len(changes))]


def decodes(data: bytes) -> bool:
    """Whether the decoder takes it; more than five seconds end the process."""
    from monkeys.data.image import ImageError, Preprocess, decode_with_info

    signal.alarm(5)
    try:
        Preprocess(32).resize(decode_with_info(data)[0])
        return True
    except ImageError:
        return False
    finally:
        signal.alarm(0)


def main(what: str, count: int, megabytes: int, folder: str) -> None:
    """Decode the corpus or `count` damaged files with `megabytes` beside what is taken already."""
    corpus = cases() if what == "corpus" else []
    decodes(encoded(photo(), "JPEG"))  # all is imported now
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + megabytes * 2**20,) * 2)
    if what == "corpus":
        wrong = [case.name for case in corpus if decodes(case.data) == bool(case.refused)]
        assert not wrong, wrong
        return
    files = seeds(folder)
    decoded = sum(decodes(damaged(files[n % len(files)], np.random.default_rng(n))) for n in range(count))
    sys.stdout.write(f"{decoded} of {count} decoded\n")
    assert 0.02 * count < decoded < 0.9 * count, "the changes are too strong or too weak to tell anything"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
