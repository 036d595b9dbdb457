# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Pictures on their way into a data set: proven readable, measured, and encoded if they were not.

What was recorded as JPEG or PNG is stored byte for byte. A JPEG is decoded only in grey and at a
fraction of its size, where libjpeg skips most of the arithmetic but still reads every byte: enough
to find damage, blur and repetition.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isclose
from typing import Any, cast

import cv2
from edgevl_ros.core.encodings import compressed_color_size
from edgevl_ros.core.errors import BadImage
from edgevl_training.dataset import SecondModality
from edgevl_training.sources.source import EncodedPicture, LatePicture, Picture, PlainPicture
import numpy as np
from numpy.typing import NDArray

# Sharpness depends on the scale of the picture; it is compared at one.
GREY_WIDTH = 320
_PNG = b'\x89PNG'
_SATURATED = 65535
_FARTHEST = 65534
# Run-length matching is fast, and as good as any on depth with its long even runs.
_FAST_PNG = (cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
_REDUCED = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    1: cv2.IMREAD_GRAYSCALE,
}


@dataclass(frozen=True)
class ColorPicture:
    """
    A colour picture as a shard stores it, with what was measured on it.

    ``sharpness`` is the variance of the Laplacian of the grey picture at 320 pixels width,
    ``perceptual_hash`` 64 bits as a signed integer.
    """

    data: bytes
    format: str  # noqa: A003 (the column's own word)
    width: int
    height: int
    sharpness: float
    perceptual_hash: int


@dataclass(frozen=True)
class DepthPicture:
    """A picture of the second modality as a shard stores it: 16-bit PNG, and its coverage."""

    data: bytes
    width: int
    height: int
    coverage: float


@dataclass
class _Payload:
    """What `compressed_color_size` looks at."""

    data: bytes
    format: str = ''  # noqa: A003


def prepare_color(picture: Picture, color_format: str, jpeg_quality: int) -> ColorPicture:
    """
    Prove a colour picture readable, measure it, and encode it if it is plain pixels.

    :param color_format: jpeg or png, for plain pixels only.
    :raises BadImage: when it cannot be decoded.
    """
    loaded = _loaded(picture)
    if isinstance(loaded, PlainPicture):
        rgb = loaded.pixels
        grey = _narrow(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
        data = _encoded_color(rgb, color_format, jpeg_quality)
        width, height = rgb.shape[1], rgb.shape[0]
    else:
        data = loaded.data
        width, height = compressed_color_size(_Payload(data))
        grey = _grey(data, width)
        if (grey.shape[1] - grey.shape[0]) * (width - height) < 0:
            # An EXIF orientation: every reader that decodes with OpenCV sees it turned.
            width, height = height, width
        grey = _narrow(grey)
        color_format = 'png' if data.startswith(_PNG) else 'jpeg'
    return ColorPicture(
        data, color_format, width, height, sharpness_of(grey), perceptual_hash_of(grey)
    )


def prepare_depth(picture: Picture, modality: SecondModality) -> DepthPicture:
    """
    Prove a picture of the second modality readable, measure it, and make it 16-bit PNG.

    Depth becomes millimetres with 0 for no reading; what lies beyond 65.534 m is stored as that.
    A recorded 16-bit PNG stays as it is where it says the same already. Other modalities keep
    their counts.

    :param modality: what the counts of the source mean; `SecondModality.stored` is what those of
        the result do.
    :raises BadImage: when it cannot be decoded or has no reading at all.
    """
    loaded = _loaded(picture)
    data: bytes | None = None
    if isinstance(loaded, PlainPicture):
        counts = cast('NDArray[np.uint16]', loaded.pixels)
    else:
        counts, data = _decoded_counts(loaded)
    if not counts.size:
        raise BadImage(f'expected at least 1x1 pixels, found {counts.shape[1]}x{counts.shape[0]}')
    if modality.name == 'depth':
        millimetres = _in_millimetres(counts, modality)
        data = data if millimetres is counts else None
        counts, coverage = millimetres, _coverage(millimetres, {0})
    else:
        coverage = _coverage(counts, set(modality.missing))
    if not coverage:
        raise BadImage('expected at least one pixel with a reading, found none')
    height, width = counts.shape
    return DepthPicture(data or _encoded('.png', counts, _FAST_PNG), width, height, coverage)


def sharpness_of(grey: NDArray[np.uint8]) -> float:
    """Give the variance of the Laplacian (Pech-Pacheco et al., ICPR 2000)."""
    deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))[1]
    return float(deviation[0, 0]) ** 2


def perceptual_hash_of(grey: NDArray[np.uint8]) -> int:
    """Give the signs of the 64 lowest frequencies against their median (DCT perceptual hash)."""
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    bits = np.packbits(low > np.median(low))
    return int.from_bytes(bits.tobytes(), 'big', signed=True)


def hamming_distance(first: int, second: int) -> int:
    """Count the bits in which two 64-bit hashes differ."""
    return ((first ^ second) & (2**64 - 1)).bit_count()


def _loaded(picture: Picture) -> EncodedPicture | PlainPicture:
    return picture.load() if isinstance(picture, LatePicture) else picture


def _grey(data: bytes, width: int) -> NDArray[np.uint8]:
    """Decode to grey, no smaller than `GREY_WIDTH` unless the picture itself is."""
    factor = 1
    if not data.startswith(_PNG):
        factor = next((f for f in _REDUCED if width >= f * GREY_WIDTH), 1)
    return cast('NDArray[np.uint8]', _decode(data, _REDUCED[factor]))


def _narrow(grey: Any) -> NDArray[np.uint8]:
    height, width = grey.shape
    if width <= GREY_WIDTH:
        return grey
    size = (GREY_WIDTH, max(1, round(height * GREY_WIDTH / width)))
    return cast('NDArray[np.uint8]', cv2.resize(grey, size, interpolation=cv2.INTER_AREA))


def _decoded_counts(picture: EncodedPicture) -> tuple[NDArray[np.uint16], bytes | None]:
    """Give the counts, and the data where it may be stored as it is."""
    data = picture.data
    if data.startswith(_PNG):
        compressed_color_size(_Payload(data))  # whole, and of a size that fits memory
    counts = _decode(data, cv2.IMREAD_UNCHANGED)
    if counts.ndim != 2 or counts.dtype not in (np.uint8, np.uint16):
        raise BadImage(
            f'expected one channel of 8 or 16 bits, found {counts.dtype} {counts.shape}'
        )
    if counts.dtype == np.uint8 or not data.startswith(_PNG):
        return counts.astype(np.uint16), None
    return counts, data


def _in_millimetres(
    counts: NDArray[np.uint16], modality: SecondModality
) -> NDArray[np.uint16]:
    """Give depth in millimetres, the very same array where it is so already."""
    native = isclose(modality.scale, 0.001) and {0} <= {*modality.missing} <= {0, _SATURATED}
    if native and counts.max() < _SATURATED:
        return counts
    return _millimetres_of_counts(modality)[counts]


@lru_cache(maxsize=8)
def _millimetres_of_counts(modality: SecondModality) -> NDArray[np.uint16]:
    """Give the millimetres of every count, 65536 of them."""
    millimetres = np.rint(np.arange(_SATURATED + 1) * (modality.scale * 1000))
    millimetres[list(modality.missing)] = 0
    return np.minimum(millimetres, _FARTHEST).astype(np.uint16)


def _coverage(counts: NDArray[np.uint16], missing: set[int]) -> float:
    known = cv2.countNonZero(counts) if 0 in missing else counts.size
    for value in missing - {0}:
        known -= int(np.count_nonzero(counts == value))
    return float(known / counts.size)


def _decode(data: bytes, flags: int) -> Any:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise BadImage(f'OpenCV cannot decode it: {str(error).strip()[-200:]}') from error
    if image is None:
        raise BadImage(f'expected a decodable image, found {len(data)} corrupt bytes')
    return image


def _encoded_color(rgb: Any, color_format: str, jpeg_quality: int) -> bytes:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    if color_format == 'png':
        return _encoded('.png', bgr, _FAST_PNG)
    return _encoded('.jpg', bgr, (cv2.IMWRITE_JPEG_QUALITY, jpeg_quality))


def _encoded(suffix: str, pixels: Any, parameters: tuple[int, ...]) -> bytes:
    try:
        return cv2.imencode(suffix, pixels, list(parameters))[1].tobytes()
    except cv2.error as error:
        raise BadImage(f'OpenCV cannot encode it: {str(error).strip()[-200:]}') from error
