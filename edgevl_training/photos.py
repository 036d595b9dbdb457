# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Free photographs that Python packages ship, and endless pictures cropped from them.

A few photographs, cropped and recoloured at random, carry enough image statistics to distil a
whole classifier (Asano and Saeed, "The Augmented Image Prior", ICLR 2023); calibrating INT8 ranges
asks for far less. No picture here belongs to any test data.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

MIDDLEBURY = 'Middlebury 2014 stereo benchmark (Scharstein et al.), no licence stated'

# Package folder, file, licence, as the package's own documentation states it.
PHOTOGRAPHS = (
    ('skimage.data', 'astronaut.png', 'public domain (NASA)'),
    ('skimage.data', 'brick.png', 'CC0'),
    ('skimage.data', 'camera.png', 'CC0'),
    ('skimage.data', 'chelsea.png', 'CC0'),
    ('skimage.data', 'coffee.png', 'CC0'),
    ('skimage.data', 'coins.png', 'no known copyright restrictions'),
    ('skimage.data', 'grass.png', 'CC0'),
    ('skimage.data', 'gravel.png', 'CC0'),
    ('skimage.data', 'hubble_deep_field.jpg', 'public domain (NASA)'),
    ('skimage.data', 'motorcycle_left.png', MIDDLEBURY),
    ('skimage.data', 'motorcycle_right.png', MIDDLEBURY),
    ('skimage.data', 'rocket.jpg', 'public domain (SpaceX)'),
    ('sklearn.datasets.images', 'china.jpg', 'CC BY 2.0 (danielbuechele)'),
    ('sklearn.datasets.images', 'flower.jpg', 'CC BY 2.0 (vultilion)'),
)
FRAME_SIZE = (240, 320)


def photographs() -> list[Image]:
    """Read every photograph as RGB, uint8 (H, W, 3)."""
    return [_read(folder, name) for folder, name, _ in PHOTOGRAPHS]


def _read(folder: str, name: str) -> Image:
    data = np.frombuffer((resources.files(folder) / name).read_bytes(), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if decoded is None:
        raise ValueError(f'{folder}/{name}: expected a picture that OpenCV reads')
    image: Any = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    return image


def augmented_frames(photos: list[Image], rng: np.random.Generator) -> Iterator[Image]:
    """
    Give camera-like frames without end, uint8 (240, 320, 3), each cut from the photographs.

    Every second frame is a single crop; the others place two or four crops side by side, as a
    room shows several things at once.
    """
    height, width = FRAME_SIZE
    while True:
        rows, columns = ((1, 1), (1, 1), (1, 2), (2, 2))[rng.integers(4)]
        frame = np.vstack(
            [
                np.hstack(
                    [
                        _random_crop(photos, height // rows, width // columns, rng)
                        for _ in range(columns)
                    ]
                )
                for _ in range(rows)
            ]
        )
        yield _spoil(_recolour(frame, rng), rng)


def _random_crop(
    photos: list[Image], height: int, width: int, rng: np.random.Generator
) -> Image:
    """Cut a random window of a random photograph and stretch it to the size asked for."""
    photo = photos[rng.integers(len(photos))]
    share = np.exp(rng.uniform(np.log(0.05), 0))
    aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3))) * width / height
    area = share * photo.shape[0] * photo.shape[1]
    crop_height = int(np.clip(np.sqrt(area / aspect), 32, photo.shape[0]))
    crop_width = int(np.clip(np.sqrt(area * aspect), 32, photo.shape[1]))
    top = rng.integers(photo.shape[0] - crop_height + 1)
    left = rng.integers(photo.shape[1] - crop_width + 1)
    bottom, right = top + crop_height, left + crop_width
    crop = photo[top:bottom, left:right]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    shrinking = crop_height >= height and crop_width >= width
    method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    resized: Any = cv2.resize(np.ascontiguousarray(crop), (width, height), interpolation=method)
    return resized


def _recolour(frame: Image, rng: np.random.Generator) -> Image:
    """Change gamma, white balance, contrast, brightness and saturation at random."""
    x = (frame.astype(np.float32) / 255) ** np.exp(rng.uniform(-0.5, 0.5))
    x *= np.exp(rng.normal(0, 0.15, 3)).astype(np.float32)
    grey = x.mean(2, keepdims=True)
    x = grey + (x - grey) * rng.uniform(0, 1.5)
    middle = x.mean()
    x = middle * rng.uniform(0.5, 1.3) + (x - middle) * rng.uniform(0.5, 1.4)
    result: Image = (np.clip(x, 0, 1) * 255).astype(np.uint8)
    return result


def _spoil(frame: Image, rng: np.random.Generator) -> Image:
    """Blur or add sensor noise, as cheap cameras do, to about half of the frames."""
    choice = rng.random()
    if choice < 0.25:
        blurred: Any = cv2.GaussianBlur(frame, (0, 0), rng.uniform(0.5, 2))
        return blurred
    if choice < 0.5:
        noisy = frame + rng.normal(0, rng.uniform(1, 12), frame.shape)
        result: Image = np.clip(noisy, 0, 255).astype(np.uint8)
        return result
    return frame


def golden_frames() -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """
    Give two frames that a bundle is checked with, colour (2, 240, 320, 3) and depth in mm.

    A cat and a cup of coffee, both CC0, each on a made-up table top: depth grows from the lower
    edge to the upper one, with a hole of no reading.
    """
    size = FRAME_SIZE[::-1]
    pictures = [
        cv2.resize(_read('skimage.data', name), size, interpolation=cv2.INTER_AREA)
        for name in ('chelsea.png', 'coffee.png')
    ]
    return np.stack(pictures), np.stack([_table(600, 1200), _table(500, 2000)])


def _table(near_mm: int, far_mm: int) -> NDArray[np.uint16]:
    slope = np.linspace(far_mm, near_mm, FRAME_SIZE[0]).round().astype(np.uint16)
    depth = np.repeat(slope[:, np.newaxis], FRAME_SIZE[1], axis=1)
    depth[80:120, 100:180] = 0
    return depth
