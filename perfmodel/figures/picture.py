"""A picture of few colours as a data URI: what a figure shows of a grid without drawing it anew at every change."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Bits of a pixel, and the kind of picture whose pixels are places in a palette.
_DEPTH, _PALETTED = 8, 3
#: A row is written as itself, or as its difference from the row above: rows of the same cells become zeros.
_PLAIN, _ABOVE = 0, 2
#: What one byte can name.
_MOST = 256


def data_uri(pixels: Pixels, palette: Sequence[tuple[int, int, int]]) -> str:
    """Return a picture as a PNG in a data URI; pixel 0 is transparent, pixel k > 0 has the colour palette[k - 1].

    pixels: (rows, columns) from the top left; palette: red, green and blue [0..255], at most 255 colours.

    Source: Portable Network Graphics specification, third edition, W3C 2025, sections 5, 9 and 11.

    >>> data_uri(np.array([[0, 1]], np.uint8), [(255, 0, 0)])[:22]
    'data:image/png;base64,'
    """
    if pixels.ndim != 2 or not pixels.size or len(palette) >= _MOST or int(pixels.max()) > len(palette):
        raise ValueError(
            f"pixels of shape {pixels.shape} and a palette of {len(palette)} colours: a picture has rows, columns and "
            f"at most {_MOST - 1} colours, and no pixel names a colour beyond them"
        )
    rows, columns = pixels.shape
    lines = np.empty((rows, columns + 1), np.uint8)
    lines[0, 0], lines[1:, 0] = _PLAIN, _ABOVE
    lines[0, 1:], lines[1:, 1:] = pixels[0], pixels[1:] - pixels[:-1]
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, _DEPTH, _PALETTED, 0, 0, 0)),
        (b"PLTE", bytes((0, 0, 0)) + b"".join(bytes(colour) for colour in palette)),
        (b"tRNS", bytes(1)),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    )
    file = _SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)
    return "data:image/png;base64," + base64.b64encode(file).decode()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
