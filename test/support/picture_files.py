# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write tiny data sets of pictures, and read sources whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
from edgevl_ros.core.errors import BadImage
from edgevl_training.sources.source import (
    EncodedPicture,
    LatePicture,
    Picture,
    PlainPicture,
    Source,
    SourcePair,
)
import numpy as np
from numpy.typing import NDArray


def color_pixels(seed: int = 0, height: int = 6, width: int = 8) -> NDArray[np.uint8]:
    """Give noise, RGB."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def write_picture(path: Path, pixels: NDArray) -> Path:
    """Write gray counts or RGB in the format that the suffix names, with the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    assert cv2.imwrite(str(path), stored)
    return path


def loaded(picture: Picture | None) -> EncodedPicture | PlainPicture:
    """Read a picture that may be late."""
    assert picture is not None
    return picture.load() if isinstance(picture, LatePicture) else picture


def pixels_of(picture: Picture | None) -> NDArray:
    """Decode a picture: RGB or counts."""
    found = loaded(picture)
    if isinstance(found, PlainPicture):
        return found.pixels
    decoded = cv2.imdecode(np.frombuffer(found.data, np.uint8), cv2.IMREAD_UNCHANGED)
    return decoded[..., ::-1] if decoded.ndim == 3 else decoded


def problem_of(picture: Picture | None) -> str:
    """Say why a picture cannot be loaded."""
    try:
        loaded(picture)
    except BadImage as error:
        return str(error)
    raise AssertionError('expected a picture that cannot be loaded')


@dataclass(frozen=True)
class ReadWhole:
    """All that a source gave; losses are (item, reason)."""

    pairs: list[SourcePair]
    losses: list[tuple[str, str]]
    read_bytes: int


def read_whole(source: Source) -> ReadWhole:
    """Read a source to its end."""
    losses: list[tuple[str, str]] = []
    read: list[int] = []
    pairs = list(source.pairs(lambda item, reason: losses.append((item, reason)), read.append))
    return ReadWhole(pairs, losses, sum(read))
