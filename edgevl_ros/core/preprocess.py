# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From a frame to the numbers a network reads: one definition, for robot and training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
import reprlib
from typing import Any

import cv2
from edgevl_ros.core.frame import Frame, Modality
import numpy as np
from numpy.typing import NDArray
import yaml

SCHEMA = 1
RESIZE_MODES = ('shortest_side', 'squash')
INTERPOLATIONS = {'area': cv2.INTER_AREA, 'linear': cv2.INTER_LINEAR}

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class ResizeSpec:
    """
    How an image of any size becomes square.

    ``shortest_side`` scales the shortest side to ``size`` pixels and keeps the central square of
    the input size; ``squash`` maps the whole image onto the square and ignores ``size``.
    ``interpolation`` is used when shrinking; enlarging is always bilinear.
    """

    mode: str
    size: int
    interpolation: str = 'area'

    def __post_init__(self) -> None:
        """Refuse unknown modes at the door."""
        if self.mode not in RESIZE_MODES:
            raise ValueError(f'resize.mode: expected one of {RESIZE_MODES}, found {self.mode!r}')
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f'resize.interpolation: expected one of {tuple(INTERPOLATIONS)}, '
                f'found {self.interpolation!r}'
            )
        _require_int('resize.size', self.size, 1, 4096)


@dataclass(frozen=True)
class ColorSpec:
    """Per-channel mean and standard deviation, applied to colour values scaled to 0..1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        """Refuse what cannot normalise."""
        for name in ('mean', 'std'):
            values = getattr(self, name)
            if len(values) != 3 or not np.all(np.isfinite(values)):
                raise ValueError(f'rgb.{name}: expected three finite numbers, found {values}')
        if min(self.std) <= 0:
            raise ValueError(f'rgb.std: expected positive numbers, found {self.std}')


@dataclass(frozen=True)
class DepthSpec:
    """
    How metres become network input.

    Depth is clipped to ``near_m``..``far_m`` and scaled to 0..1; a pixel without a reading takes
    the value ``missing`` on that scale; then ``(x - mean) / std`` on three equal channels.
    """

    near_m: float
    far_m: float
    missing: float
    mean: float
    std: float

    def __post_init__(self) -> None:
        """Refuse what cannot normalise."""
        if not np.all(np.isfinite([self.near_m, self.far_m, self.missing, self.mean, self.std])):
            raise ValueError(f'depth: expected finite numbers, found {self}')
        if not 0 <= self.near_m < self.far_m:
            raise ValueError(
                f'depth: expected 0 <= near_m < far_m, found {self.near_m} and {self.far_m}'
            )
        if self.std <= 0:
            raise ValueError(f'depth.std: expected a positive number, found {self.std}')


@dataclass(frozen=True)
class PreprocessSpec:
    """
    Everything that decides a student's input pixels; stored in a bundle as ``preprocess.yaml``.

    The input is square, ``input_size`` pixels a side.
    """

    input_size: int
    resize: ResizeSpec
    rgb: ColorSpec
    depth: DepthSpec

    def __post_init__(self) -> None:
        """Refuse sizes that no student has."""
        _require_int('input_size', self.input_size, 16, 2048)
        if self.resize.mode == 'shortest_side' and self.resize.size < self.input_size:
            raise ValueError(
                f'resize.size: expected at least the input size {self.input_size}, '
                f'found {self.resize.size}'
            )

    @classmethod
    def from_yaml(cls, text: str) -> PreprocessSpec:
        """
        Read a spec from the text of a ``preprocess.yaml``.

        :raises ValueError: naming the field that is missing, unknown or out of range.
        """
        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f'expected YAML, found {error}') from error
        fields = _section('the document', document, ('schema', 'input_size', *_SECTIONS))
        if fields['schema'] != SCHEMA:
            raise ValueError(f'schema: expected {SCHEMA}, found {_shown(fields["schema"])}')
        parts: dict[str, Any] = {}
        for name, part in _SECTIONS.items():
            values = _section(name, fields[name], tuple(part.__dataclass_fields__))
            try:
                parts[name] = part(**{key: _tupled(value) for key, value in values.items()})
            except TypeError as error:
                raise ValueError(f'{name}: {error}') from error
        return cls(input_size=fields['input_size'], **parts)

    def to_yaml(self) -> str:
        """Write the spec as the text of a ``preprocess.yaml``."""
        document: dict[str, Any] = {'schema': SCHEMA, 'input_size': self.input_size}
        for name in _SECTIONS:
            section = asdict(getattr(self, name))
            document[name] = {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in section.items()
            }
        return yaml.safe_dump(document, sort_keys=False)

    def rgb_input(self, rgb: NDArray[np.uint8]) -> FloatArray:
        """Turn colour, uint8 (H, W, 3), into network input, float32 (3, S, S)."""
        resized = self._square(rgb)
        tensor = np.empty((3, self.input_size, self.input_size), np.float32)
        for channel, plane in enumerate(cv2.split(resized)):
            std = self.rgb.std[channel]
            np.multiply(plane, 1 / (255 * std), out=tensor[channel], dtype=np.float32)
            tensor[channel] -= self.rgb.mean[channel] / std
        return tensor

    def depth_input(self, depth: FloatArray) -> FloatArray:
        """Turn depth, float32 (H, W) in metres with NaN, into network input, (3, S, S)."""
        metres, has_reading = self._square_depth(depth)
        near, far = self.depth.near_m, self.depth.far_m
        unit = np.clip((metres - near) / (far - near), 0, 1)
        unit[~has_reading] = self.depth.missing
        plane = ((unit - self.depth.mean) / self.depth.std).astype(np.float32)
        return np.repeat(plane[np.newaxis], 3, axis=0)

    def _square_depth(self, depth: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Resize without letting missing readings pull their neighbours towards zero."""
        valid = np.isfinite(depth)
        if valid.all():
            metres = self._square(depth)
            return metres, np.ones(metres.shape, np.bool_)
        weight = self._square(valid.astype(np.float32))
        total = self._square(np.where(valid, depth, np.float32(0)))
        has_reading = weight > 1e-3
        metres = np.divide(total, weight, out=np.zeros_like(total), where=has_reading)
        return metres, has_reading

    def _square(self, image: NDArray[Any]) -> NDArray[Any]:
        height, width = image.shape[:2]
        if self.resize.mode == 'shortest_side':
            side = max(1, round(min(height, width) * self.input_size / self.resize.size))
            top, left = (height - side) // 2, (width - side) // 2
            bottom, right = top + side, left + side
            image = image[top:bottom, left:right]
            height = width = side
        size = self.input_size
        shrinking = height >= size and width >= size
        method = INTERPOLATIONS[self.resize.interpolation] if shrinking else cv2.INTER_LINEAR
        resized: NDArray[Any] = cv2.resize(image, (size, size), interpolation=method)
        return resized


def model_input(
    spec: PreprocessSpec, frame: Frame, modalities: Sequence[Modality]
) -> FloatArray:
    """
    Build the batch that a backend embeds: one row for each modality, in the order asked for.

    :returns: float32 of shape (B, 3, S, S).
    :raises ValueError: when no modality is asked for or the frame lacks one.
    """
    if not modalities:
        raise ValueError('expected at least one modality, found none')
    batch = np.empty((len(modalities), 3, spec.input_size, spec.input_size), np.float32)
    for row, modality in enumerate(modalities):
        if modality is Modality.RGB and frame.rgb is not None:
            batch[row] = spec.rgb_input(frame.rgb)
        elif modality is Modality.DEPTH and frame.depth is not None:
            batch[row] = spec.depth_input(frame.depth)
        else:
            raise ValueError(f'the frame at {frame.stamp_ns} ns has no {modality.value}')
    return batch


_SECTIONS: dict[str, Any] = {'resize': ResizeSpec, 'rgb': ColorSpec, 'depth': DepthSpec}


def _section(name: str, value: object, keys: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or set(value) != set(keys):
        found = _shown(sorted(map(str, value)) if isinstance(value, Mapping) else value)
        raise ValueError(f'{name}: expected the keys {sorted(keys)}, found {found}')
    return value


def _tupled(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _require_int(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f'{name}: expected an integer in {low}..{high}, found {_shown(value)}')


def _shown(value: object) -> str:
    # A few lines of YAML can stand for a value of gigabytes.
    return reprlib.repr(value)
