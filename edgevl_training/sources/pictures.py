# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Picture files of a data set as what a source gives, checked by their header before any decoding.

Reasons are short and without particulars, since lost items are counted by reason.
"""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace
from typing import Any

import cv2
from edgevl_ros.core.encodings import check_compressed_color, MAX_PIXELS, MAX_SIDE
from edgevl_ros.core.errors import BadImage
from edgevl_training.sources.source import EncodedPicture, PlainPicture
import numpy as np
from numpy.typing import NDArray
from PIL import Image

LoadedPicture = EncodedPicture | PlainPicture

# Bits and colour type in the header of a PNG.
_GREY_16 = bytes([16, 0])
_FORMATS = ('BMP', 'JPEG', 'PNG', 'PPM', 'TIFF', 'WEBP')
SUFFIXES = frozenset(
    ['.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp']
)


def color_picture(data: bytes) -> LoadedPicture:
    """
    Give a colour picture; JPEG and PNG stay as they are, other formats are decoded.

    :raises BadImage: when it is damaged, too large or no picture.
    """
    kind = _checked_format(data)
    if kind in ('JPEG', 'PNG'):
        return EncodedPicture(data, kind.lower())
    return PlainPicture(np.ascontiguousarray(_decode(data, cv2.IMREAD_COLOR)[..., ::-1]))


def counts_picture(data: bytes, bits: int | None = None) -> tuple[LoadedPicture, int]:
    """
    Give the counts of a second modality, and how many bits the file has for each.

    A 16-bit PNG of one channel stays as it is; 8-bit counts come as 16-bit numbers of the same
    value. Three equal channels are one.

    :param bits: what is expected, where it is known.
    :raises BadImage: when it is damaged, too large, coloured, or of other bits than expected.
    """
    kind = _checked_format(data)
    if kind == 'PNG' and data[24:26] == _GREY_16:
        _check_bits(16, bits)
        return EncodedPicture(data, 'png'), 16
    counts = _one_channel(data)
    found = 8 * counts.itemsize
    _check_bits(found, bits)
    return PlainPicture(counts.astype(np.uint16)), found


def counts_array(data: bytes) -> NDArray[Any]:
    """
    Decode the counts of a second modality, uint8 or uint16 (H, W).

    :raises BadImage: when it is damaged, too large, coloured or of another type.
    """
    _checked_format(data)
    return _one_channel(data)


def _one_channel(data: bytes) -> NDArray[Any]:
    pixels = _decode(data, cv2.IMREAD_UNCHANGED)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise BadImage('expected 8-bit or 16-bit counts')
    if pixels.ndim == 2:
        return pixels
    counts = pixels[..., 0]
    if not all(np.array_equal(counts, pixels[..., i]) for i in range(1, min(3, pixels.shape[2]))):
        raise BadImage('expected one channel, found colour')
    return np.ascontiguousarray(counts)


def check_size(width: int, height: int) -> None:
    """
    Refuse a picture that would take too much memory.

    :raises BadImage: when it is empty or too large.
    """
    if min(width, height) < 1:
        raise BadImage('no pixels')
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise BadImage(f'more than {MAX_SIDE} pixels a side or {MAX_PIXELS} in all')


def _checked_format(data: bytes) -> str:
    """Give the format of a picture that is whole and not too large."""
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            kind, (width, height) = str(image.format), image.size
        kind = 'JPEG' if kind == 'MPO' else kind  # a phone's JPEG with a preview behind it
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(f'more than {MAX_SIDE} pixels a side or {MAX_PIXELS} in all') from error
    except Exception as error:  # Pillow raises what a damaged header trips over
        raise BadImage('no picture, or its header is damaged') from error
    check_size(width, height)
    if kind in ('JPEG', 'PNG'):
        try:
            check_compressed_color(SimpleNamespace(format=kind, data=data))
        except BadImage as error:
            raise BadImage('truncated or damaged picture') from error
    return kind


def _check_bits(found: int, expected: int | None) -> None:
    if expected is not None and found != expected:
        raise BadImage(f'expected {expected}-bit counts as in the first picture, found {found}')


def _decode(data: bytes, flags: int) -> NDArray[Any]:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise BadImage('cannot be decoded') from error
    if pixels is None:
        raise BadImage('cannot be decoded')
    return pixels
