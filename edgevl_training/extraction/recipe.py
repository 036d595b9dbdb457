# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What ``edgevl extract`` can be asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from edgevl_training.recipe import Recipe, several_options
from pydantic import Field, field_validator, ValidationInfo

Layout = Literal['folder', 'nyuv2', 'sunrgbd', 'scannet', 'eurosat-ms']

# Fields that only some image layouts take.
LAYOUT_OPTIONS = (
    'color_dir', 'second_dir', 'second_name', 'second_scale', 'second_missing', 'labels',
    'depth_kind',
)


class ExtractRecipe(Recipe):
    """
    Take colour and depth pairs out of rosbags, or out of folders of images, into Parquet shards.

    A bag is a rosbag2 folder, an .mcap, .db3 or ROS 1 .bag file, whole or damaged; a folder may
    hold many. Images recorded as JPEG or PNG are stored byte for byte, depth as 16-bit PNG of
    millimetres with 0 for no reading (and 65534 for all beyond 65.534 m). What is left out is
    listed in skipped.csv with the reason. The same command continues where an interrupted one
    stopped.
    """

    out: Path = Field(description='output folder')
    bags: tuple[Path, ...] = Field((), description='rosbags, or folders that hold some')
    images: tuple[Path, ...] = Field((), description='image folders, instead of bags')
    layout: Layout = Field('folder', description='how the images of --images lie there')
    modality: Literal['both', 'rgb'] = Field(
        'both', description='both: colour with depth; rgb: every colour image, without depth'
    )
    color_dir: str | None = Field(
        None, description='layout folder: where colour lies (default: rgb, color, images ...)'
    )
    second_dir: str | None = Field(
        None,
        description='layout folder: where the second modality lies (default: depth, swir, '
        'thermal, nir ...)',
    )
    second_name: str | None = Field(
        None, description='layout folder: what the second modality is, if its folder is not named '
        'so',
    )
    second_scale: float | None = Field(
        None, gt=0, allow_inf_nan=False,
        description='layout folder: metres per count of depth, share of full scale for others '
        '(default: 0.001 for 16-bit depth, white is full scale for others)',
    )
    second_missing: tuple[int, ...] | None = Field(
        None, description='layout folder: counts that are no reading (default for depth: 0 65535)'
    )
    labels: str | None = Field(
        None, description='layout folder: CSV file in it with stem and label (default: '
        'labels.csv); for measuring only',
    )
    depth_kind: Literal['raw', 'filled'] | None = Field(
        None,
        description='layouts nyuv2 and sunrgbd: what the sensor gave, or with its holes filled '
        '(default: filled for nyuv2, raw for sunrgbd)',
    )
    rgb_topic: str | None = Field(
        None, description='colour topic of the bags (default: found by type and name)'
    )
    depth_topic: str | None = Field(
        None, description='depth topic of the bags (default: found by type and name)'
    )
    max_skew: float = Field(
        0.02, ge=0, le=1, allow_inf_nan=False,
        description='largest difference in seconds between the stamps of a pair; best below half '
        'a frame period',
    )
    max_wait: float = Field(
        0.5, ge=0, le=10, allow_inf_nan=False,
        description='seconds of recording that an image waits for its partner',
    )
    rate: float | None = Field(
        None, gt=0, allow_inf_nan=False,
        description='most pairs per second of stamps (default: all)',
    )
    min_sharpness: float = Field(
        0.0, ge=0, allow_inf_nan=False,
        description='least variance of the Laplacian of the grey image at 320 pixels width',
    )
    near_duplicates: int | None = Field(
        None, ge=0, le=64,
        description='leave out a pair whose perceptual hash differs in at most so many of 64 bits '
        'from the last pair kept; 4 leaves out what a standing robot sees (default: keep all)',
    )
    min_depth_coverage: float = Field(
        0.0, ge=0, le=1, allow_inf_nan=False,
        description='least share of depth pixels that have a reading',
    )
    color_format: Literal['jpeg', 'png'] = Field(
        'jpeg', description='how raw colour is stored; what was recorded compressed stays as it is'
    )
    jpeg_quality: int = Field(95, ge=1, le=100, description='for raw colour stored as JPEG')
    allow_unregistered: bool = Field(
        False,
        description='take depth of another frame than colour though the bag holds no transform '
        'between them',
    )
    truth: Path | None = Field(
        None,
        description='CSV with the columns stamp_ns,label or bag,stamp_ns,label, which fills the '
        'column truth; for measuring only, nothing is decided by it',
    )
    shard_mb: float = Field(
        64, gt=0, le=2048, allow_inf_nan=False, description='size of a shard in megabytes'
    )
    workers: int = Field(
        1, ge=1, le=256, description='processes, each with one source at a time; same result'
    )

    @field_validator('bags', 'images')
    @classmethod
    def _exist(cls, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        missing = [str(path) for path in paths if not path.exists()]
        if missing:
            raise ValueError(f'expected files or folders that exist, not so {", ".join(missing)}')
        return paths

    @field_validator('images')
    @classmethod
    def _one_kind(cls, images: tuple[Path, ...], info: ValidationInfo) -> tuple[Path, ...]:
        if 'bags' in info.data and bool(images) == bool(info.data['bags']):
            raise several_options('expected either --bags or --images')
        return images

    @field_validator('layout')
    @classmethod
    def _needs_images(cls, layout: Layout, info: ValidationInfo) -> Layout:
        if layout != 'folder' and info.data.get('bags'):
            raise ValueError('goes with --images, not with --bags')
        return layout

    @field_validator(*LAYOUT_OPTIONS)
    @classmethod
    def _belongs_to_layout(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None:
            return value
        if info.data.get('bags'):
            raise ValueError('goes with --images, not with --bags')
        layout = info.data.get('layout')
        if layout is None:
            return value
        from edgevl_training.sources.layouts import options_of
        if info.field_name not in options_of(layout):
            raise ValueError(f'does not go with --layout {layout}')
        return value

    def layout_options(self) -> dict[str, Any]:
        """Give what was said about the layout."""
        options = {name: getattr(self, name) for name in LAYOUT_OPTIONS}
        return {name: value for name, value in options.items() if value is not None}

    @field_validator('rgb_topic', 'depth_topic', 'truth')
    @classmethod
    def _needs_bags(
        cls, value: str | Path | None, info: ValidationInfo
    ) -> str | Path | None:
        if value is not None and info.data.get('images'):
            raise ValueError('goes with --bags, not with --images')
        return value

    @field_validator(
        'depth_topic', 'min_depth_coverage', 'second_dir', 'second_name', 'second_scale',
        'second_missing', 'depth_kind',
    )
    @classmethod
    def _needs_depth(cls, value: Any, info: ValidationInfo) -> Any:
        if value and info.data.get('modality') == 'rgb':
            raise ValueError('goes with --modality both, not with rgb')
        return value
