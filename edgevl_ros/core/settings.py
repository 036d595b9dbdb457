# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every run-time setting, declared once: type, default, range, meaning and when it may change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, Field, field, fields, replace
from enum import Enum
import math
from typing import Any

from edgevl_ros.core.errors import SettingsError

BACKENDS = (
    'auto', 'onnxruntime', 'onnxruntime-cuda', 'onnxruntime-tensorrt', 'tensorrt', 'tensorrt-fp16',
)

Value = bool | int | float | str | tuple[str, ...]


class Change(Enum):
    """When a new value of a setting can take effect."""

    LIVE = 'while running'
    CONFIGURE = 'before configuring'
    START = 'at start only'


def _setting(
    default: Value,
    description: str,
    *,
    change: Change = Change.LIVE,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    return field(
        default=default,
        metadata={
            'description': description,
            'change': change,
            'minimum': minimum,
            'maximum': maximum,
            'choices': choices,
        },
    )


@dataclass(frozen=True)
class Settings:
    """
    The settings of a perception node; times are in seconds.

    :raises SettingsError: when a value has the wrong type or is out of range.
    """

    bundle: str = _setting(
        '',
        'Folder of the bundle to run; empty for the starter bundle.',
        change=Change.CONFIGURE,
    )
    backend: str = _setting(
        'auto',
        'Inference runtime; auto begins with ONNX Runtime on the CPU and goes over to TensorRT '
        'where that is there and faster; tensorrt does so whether or not it is faster.',
        change=Change.CONFIGURE,
        choices=BACKENDS,
    )
    threads: int = _setting(
        2,
        'CPU threads of the inference runtime; 0 lets it take every core.',
        change=Change.CONFIGURE,
        minimum=0,
        maximum=256,
    )
    engine_cache: str = _setting(
        '',
        "Folder that TensorRT's engines are kept in; empty for ~/.cache/edgevl_ros/engines.",
        change=Change.CONFIGURE,
    )
    image_transport: str = _setting(
        'raw',
        'How colour arrives: raw on `image`, compressed on `image/compressed`.',
        change=Change.CONFIGURE,
        choices=('raw', 'compressed'),
    )
    depth_transport: str = _setting(
        'raw',
        'How depth arrives: raw on `depth`, compressedDepth on `depth/compressedDepth`.',
        change=Change.CONFIGURE,
        choices=('raw', 'compressedDepth'),
    )
    pairing_tolerance: float = _setting(
        0.02,
        'Largest difference in seconds between the stamps of one colour and depth pair.',
        change=Change.CONFIGURE,
        minimum=0.0,
        maximum=1.0,
    )
    pairing_timeout: float = _setting(
        0.05,
        'Seconds that an image waits for its partner before it is used alone.',
        change=Change.CONFIGURE,
        minimum=0.0,
        maximum=10.0,
    )
    autostart: bool = _setting(
        True,
        'Configure and activate at start; false waits for lifecycle transitions.',
        change=Change.START,
    )
    vocabulary: tuple[str, ...] = _setting(
        ('',),
        "Labels to choose from; [''] takes the bundle's own vocabulary.",
    )
    modality: str = _setting(
        'auto',
        'What to look at: auto weighs colour and depth as the bundle says and takes either alone '
        'when the other is missing or dark; rgb and depth use one; both weighs them equally.',
        choices=('auto', 'rgb', 'depth', 'both'),
    )
    top_k: int = _setting(
        5, 'Number of labels published for each frame.', minimum=1, maximum=100
    )
    min_probability: float = _setting(
        0.0,
        'The stable label is `unknown` when its probability is below this.',
        minimum=0.0,
        maximum=1.0,
    )
    min_similarity: float = _setting(
        -1.0,
        'The stable label is `unknown` when its cosine with the scene is below this.',
        minimum=-1.0,
        maximum=1.0,
    )
    smoothing_time: float = _setting(
        0.5,
        'Time constant in seconds over which the stable label is smoothed; 0 for none.',
        minimum=0.0,
        maximum=60.0,
    )
    max_rate: float = _setting(
        0.0, 'Most frames labelled in a second; 0 for no limit.', minimum=0.0, maximum=1000.0
    )
    min_brightness: float = _setting(
        0.02,
        'Colour images with a mean below this share of full white count as dark (modality auto).',
        minimum=0.0,
        maximum=1.0,
    )
    min_depth_coverage: float = _setting(
        0.05,
        'Depth images with readings in less than this share of their pixels are not used.',
        minimum=0.0,
        maximum=1.0,
    )

    def __post_init__(self) -> None:
        """Hold every value to its declaration; floats may be written as integers."""
        for declaration in fields(self):
            value = _checked(declaration, getattr(self, declaration.name))
            object.__setattr__(self, declaration.name, value)

    def changed(self, values: Mapping[str, Any]) -> Settings:
        """
        Give a copy with other values; all of them are checked before any is taken.

        :raises SettingsError: when a name is unknown or a value does not fit.
        """
        unknown = sorted(set(values) - {declaration.name for declaration in fields(self)})
        if unknown:
            raise SettingsError(f'expected known settings, found {", ".join(unknown)}')
        return replace(self, **values)


def _checked(declaration: Field[Any], value: Any) -> Value:
    name, default, rules = declaration.name, declaration.default, declaration.metadata
    if isinstance(default, tuple):
        if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
            raise SettingsError(f'{name}: expected a list of strings, found {value!r}')
        return tuple(value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not type(default):
        raise SettingsError(f'{name}: expected {type(default).__name__}, found {value!r}')
    if isinstance(value, str) and rules['choices'] and value not in rules['choices']:
        raise SettingsError(
            f'{name}: expected one of {", ".join(rules["choices"])}, found {value!r}'
        )
    if isinstance(value, (int, float)) and rules['minimum'] is not None:
        low, high = rules['minimum'], rules['maximum']
        if not math.isfinite(value) or not low <= value <= high:
            raise SettingsError(f'{name}: expected a value in {low}..{high}, found {value}')
    return value  # type: ignore[no-any-return]
