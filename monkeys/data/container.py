"""What a file's bytes are, before a decoder sees them: format, rotation, frames; and the bytes without their metadata.

Pillow reads metadata without much regard to its cost: its older versions copy a directory of tags that all point at the
same megabytes once per tag, and a list of millions of tiles takes gigabytes in any. So JPEG and PNG files reach it with
nothing but what the pixels need, and a TIFF's directory is weighed first. The limits on counts keep loops short.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MAX_SEGMENTS = 10_000  # headers of a JPEG
MAX_CHUNKS = 200_000  # of a PNG or WebP: at 8 KB each more than the largest file that is read
MAX_GIF_BYTES = 2**25  # Pillow walks over a GIF's blocks in Python
MAX_TAG_VALUES = 2**18  # a TIFF colour map has 196,608

_JPEG_SCAN, _JPEG_EXIF = 0xDA, 0xE1
_JPEG_SEGMENT = re.compile(rb"\xff([\xc4\xcc\xd9-\xde\xe0-\xef\xfe])")  # what may follow a scan's data
_JPEG_BARE = {0x00, 0x01, *range(0xD0, 0xDA)}  # markers without a length
_JPEG_METADATA = {0xFE, *range(0xE1, 0xEE), 0xEF}  # all but JFIF (E0) and Adobe (EE), which decide on colour
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TIFF_NESTED = {0x8769, 0x8825, 0xA005}  # directories that Pillow reads with the first: Exif, GPS, interoperability
_ORIENTATION = 0x0112
_ELSEWHERE = (
    (rb"....ftyp", "HEIC, AVIF or a film"),
    (rb"\x00\x00\x00\x0cjP|\xff\x4f\xff\x51", "JPEG 2000"),
    (rb"%PDF", "PDF"),
    (rb"8BPS", "Photoshop"),
    (rb"II\x2b\0|MM\0\x2b", "BigTIFF"),
    (rb"P[1-7fF]\s", "a rare kind of PNM"),
    (rb"\s*<", "HTML, SVG or XML text"),
    (rb"PK\x03\x04|\x1f\x8b|BZh|\xfd7zXZ", "an archive"),
)


class Refused(ValueError):
    """The bytes are not decoded; the message says why."""


@dataclass(frozen=True, slots=True)
class Container:
    """A file that may be decoded. data: without metadata. orientation: of EXIF, 1 (upright) to 8.

    passes: how often a decoder walks over all pixels.
    """

    format: str
    data: bytes
    orientation: int = 1
    animated: bool = False
    passes: int = 1


def examine(data: bytes) -> Container:
    """Tell the format by content and prepare it for Pillow; raises Refused."""
    for magic, read in _READERS:
        if re.match(magic, data, re.DOTALL):
            return read(data)
    if not data:
        raise Refused("the file is empty")
    kind = next((name for magic, name in _ELSEWHERE if re.match(magic, data, re.DOTALL)), "")
    raise Refused(
        f"not an image that is read here{f' but {kind}' if kind else ''}; convert it to JPEG or PNG, or leave it out"
    )


def orientation(exif: bytes) -> int:
    """EXIF's tag 0x0112, 1 to 8; 1 where there is none or it cannot be read."""
    try:
        for tag, _, _, value in _directory(exif):
            if tag == _ORIENTATION:
                found = struct.unpack(_order(exif) + "H", value[:2])[0]
                return found if 1 <= found <= 8 else 1
    except struct.error:
        return 1
    return 1


def _jpeg(data: bytes) -> Container:
    kept, exif, position = [b"\xff\xd8"], b"", 2
    for _ in range(MAX_SEGMENTS):
        position = data.find(b"\xff", position)
        if position < 0 or position + 4 > len(data):
            raise Refused("truncated: the file ends before the picture begins")
        marker, end = data[position + 1], position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == _JPEG_SCAN:
            break
        if marker == 0xFF or marker in _JPEG_BARE:
            position += 1 if marker == 0xFF else 2
            continue
        if marker == _JPEG_EXIF and data[position + 4 : position + 10] == b"Exif\0\0":
            exif = exif or data[position + 10 : end]
        elif marker not in _JPEG_METADATA:
            kept.append(data[position:end])
        position = end
    else:
        raise Refused(f"more than {MAX_SEGMENTS} segments")
    passes = _jpeg_passes(data, position)
    return Container("JPEG", b"".join([*kept, memoryview(data)[position:]]), orientation(exif), passes=passes)


def _jpeg_passes(data: bytes, start: int) -> int:
    """Scans from the first to the end mark; what follows, such as a telephone's film, is not of the picture.

    libjpeg takes the zeros of a half-finished download for a grey picture; only the end mark tells.
    """
    passes, position = 0, start
    while found := _JPEG_SEGMENT.search(data, position):
        if found[1] == b"\xd9":
            return passes
        passes += found[1] == b"\xda"
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    if data.find(b"\xff\xd9", start) < 0:
        raise Refused("truncated: the end of the picture is missing")
    return data.count(b"\xff\xda", start)  # a length is damaged: whatever may be a scan is counted


def _png(data: bytes) -> Container:
    kept, exif, frames, view = [memoryview(data)[:8]], b"", 1, memoryview(data)
    for kind, start, end in _chunks(data, 8, len(data), "big"):
        if kind[:1].isupper() or kind == b"tRNS":  # what a decoder must know begins with a capital
            kept.append(view[start - 8 : end + 4])
        elif kind == b"eXIf":
            exif = data[start:end]
        elif kind == b"acTL":
            frames = int.from_bytes(data[start : start + 4], "big")
        if kind == b"IEND":
            return Container("PNG", b"".join(kept), orientation(exif), animated=frames > 1)
    raise Refused("truncated: the end of the picture is missing")


def _webp(data: bytes) -> Container:
    stop = 8 + int.from_bytes(data[4:8], "little")
    if stop > len(data):
        raise Refused("truncated: the file ends within the picture")
    exif = b"".join(data[start:end] for kind, start, end in _chunks(data, 12, stop, "little") if kind == b"EXIF")
    return Container("WEBP", data, orientation(exif.removeprefix(b"Exif\0\0")))


def webp_size(data: bytes) -> tuple[int, int]:
    """Width and height as the header has them: opening a WebP file already takes memory for all pixels."""
    kind, low = data[12:16], int.from_bytes(data[21:25], "little")
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        return 1 + (low & 0x3FFF), 1 + (low >> 14 & 0x3FFF)
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def _chunks(data: bytes, position: int, stop: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk's content, of PNG (big) or RIFF (little); raises Refused where one is cut."""
    png = order == "big"
    for _ in range(MAX_CHUNKS):
        if position >= stop:
            return
        first, second = data[position : position + 4], data[position + 4 : position + 8]
        kind, length = (second, int.from_bytes(first, "big")) if png else (first, int.from_bytes(second, "little"))
        start, end = position + 8, position + 8 + length
        position = end + 4 if png else end + length % 2
        if max(end, position if png else 0) > len(data) or len(kind) < 4:
            raise Refused("truncated: the file ends within the picture")
        yield kind, start, end
    raise Refused(f"more than {MAX_CHUNKS} chunks")


def _tiff(data: bytes) -> Container:
    try:
        entries = list(_directory(data))
        for tag, _, _, value in tuple(entries):
            if tag in _TIFF_NESTED:
                entries += _directory(data, struct.unpack(_order(data) + "I", value)[0])
    except struct.error:
        raise Refused("truncated: its directory lies beyond the end of the file") from None
    claimed = sum(_TIFF_SIZES.get(kind, 0) * count for _, kind, count, _ in entries)
    longest = max((count for _, kind, count, _ in entries if _TIFF_SIZES.get(kind, 1) > 1), default=0)
    if claimed > len(data) + 2**16 or longest > MAX_TAG_VALUES:
        raise Refused("its directory claims more than the file holds")
    return Container("TIFF", data, orientation(data))


def _order(data: bytes) -> str:
    return "<" if data[:2] == b"II" else ">"


def _directory(data: bytes, offset: int | None = None) -> Iterator[tuple[int, int, int, bytes]]:
    """Tag, kind, count and value (or its place) of a TIFF or EXIF directory; raises struct.error where it is cut."""
    order = _order(data)
    if offset is None:
        offset = struct.unpack_from(order + "I", data, 4)[0]
    for index in range(struct.unpack_from(order + "H", data, offset)[0]):
        yield struct.unpack_from(order + "HHI4s", data, offset + 2 + 12 * index)


def _gif(data: bytes) -> Container:
    if len(data) > MAX_GIF_BYTES:
        raise Refused(f"a GIF larger than {MAX_GIF_BYTES // 2**20} MB")
    return Container("GIF", data)


_BLANK = rb"(?:\s|#[^\r\n]{0,200}[\r\n]){1,20}"
_READERS: tuple[tuple[bytes, Callable[[bytes], Container]], ...] = (
    (rb"\xff\xd8\xff", _jpeg),
    (rb"\x89PNG\r\n\x1a\n", _png),
    (rb"GIF8[79]a", _gif),
    (rb"RIFF....WEBP", _webp),
    (rb"II\x2a\0|MM\0\x2a", _tiff),
    (rb"BM", lambda data: Container("BMP", data)),
    # binary PNM of 1, 8 or 16 bits only: Pillow reads the other kinds in Python, pixel by pixel
    (rb"P4%b\d+%b\d+\s" % (_BLANK, _BLANK), lambda data: Container("PPM", data)),
    (rb"P[56]%b\d+%b\d+%b255\s" % (_BLANK, _BLANK, _BLANK), lambda data: Container("PPM", data)),
    (rb"P5%b\d+%b\d+%b65535\s" % (_BLANK, _BLANK, _BLANK), lambda data: Container("PPM", data)),
)
