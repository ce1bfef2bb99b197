"""Pictures, sounds and films as bytes: small, real files, the same for the same words."""

from __future__ import annotations

import math
import struct
import wave
import zlib
from array import array
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from typing import Final

SAMPLE_RATE: Final = 24_000
"""Samples a second of all sounds, which are mono with 16 bits a sample (media.md section 4)."""
_SECONDS_PER_CHARACTER: Final = 0.06
_CELLS: Final = 8
_COMMENT: Final = b"ICMT"
_IMAGE_SIGNS: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF")
_MATRIX: Final = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


@lru_cache(maxsize=64)
def png(words: str, width: int, height: int) -> bytes:
    """A PNG of so many pixels: a symmetric pattern in two colours that the words choose."""
    seed = sha256(words.encode(errors="replace")).digest()
    bands: list[bytes] = []
    for band in range(_CELLS):
        half = [seed[band] >> bit & 1 for bit in range(_CELLS // 2)]
        cells = half + half[::-1]
        bits = sum(cells[column * _CELLS // width] << (width - 1 - column) for column in range(width))
        row = b"\0" + (bits << -width % 8).to_bytes((width + 7) // 8, "big")
        bands.append(row * ((band + 1) * height // _CELLS - band * height // _CELLS))
    head = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)
    palette = seed[-3:] + bytes(255 - part // 4 for part in seed[-3:])
    parts = ((b"IHDR", head), (b"PLTE", palette), (b"IDAT", zlib.compress(b"".join(bands), 1)), (b"IEND", b""))
    return _IMAGE_SIGNS[0] + b"".join(_png_chunk(kind, data) for kind, data in parts)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def is_picture(data: bytes) -> bool:
    """Whether the bytes begin like a picture."""
    return data.startswith(_IMAGE_SIGNS)


def picture_size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG in pixels; of anything else those of a printed page."""
    if data.startswith(_IMAGE_SIGNS[0]) and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    return 1240, 1754


def pcm(words: str, voice: str = "", speed: float = 1.0, volume: float = 1.0) -> bytes:
    """A tone of the voice's own height, as long as the words take: raw samples, little-endian."""
    period = 60 + zlib.crc32(voice.encode(errors="replace")) % 120
    loudness = 3_000 * min(volume, 10.0)
    wave_once = array("h", (round(loudness * math.sin(2 * math.pi * step / period)) for step in range(period)))
    samples = round(len(words) * _SECONDS_PER_CHARACTER * SAMPLE_RATE / speed)
    return (wave_once.tobytes() * (samples // period + 1))[: 2 * samples]


def wav(samples: bytes, words: str = "") -> bytes:
    """Samples as a WAV file, with the words spoken as its comment, from which `transcript` reads them."""
    file = BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        writer.writeframes(samples)
    comment = words.encode(errors="replace") + b"\0"
    entry = b"INFO" + _COMMENT + struct.pack("<I", len(comment)) + comment + b"\0" * (len(comment) % 2)
    whole = file.getvalue() + b"LIST" + struct.pack("<I", len(entry)) + entry
    return whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:]


def seconds(data: bytes) -> float | None:
    """How long a WAV file is; None for anything else."""
    try:
        with wave.open(BytesIO(data)) as reader:
            frames, rate = int(reader.getnframes()), int(reader.getframerate())
            return frames / rate
    except (wave.Error, EOFError, ZeroDivisionError):
        return None


def transcript(data: bytes) -> str:
    """What is said in a sound: its own comment where this service made it, else how long or how large it is."""
    length = seconds(data)
    if length is None:
        return f"A sound of {len(data)} bytes."
    _, mark, rest = data.partition(b"INFO" + _COMMENT)
    if mark:
        return rest[4:].partition(b"\0")[0].decode(errors="replace")
    return f"A sound of {length:.2f} seconds."


def mp4(duration: int) -> bytes:
    """An MP4 file that says how many seconds it lasts, and has no track."""
    header = struct.pack(">IIIII", 0, 0, 0, 1000, duration * 1000) + struct.pack(">IH10x", 0x10000, 0x100)
    movie = _box(b"mvhd", header + _MATRIX + bytes(24) + struct.pack(">I", 1))
    return _box(b"ftyp", b"isom\0\0\2\0isommp41") + _box(b"moov", movie)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + kind + content
