# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The layouts of image folders that ``edgevl extract`` reads, by name."""

from __future__ import annotations

from collections.abc import Callable
import inspect
from pathlib import Path
from typing import Any

from edgevl_training.errors import SourceError
from edgevl_training.sources import eurosat_ms, image_folder, nyu_depth_v2, scannet, sun_rgbd
from edgevl_training.sources.source import Source

LAYOUTS = {
    'folder': 'rgb/<stem>.jpg, depth/<stem>.png (or swir, thermal, nir, infrared), labels.csv',
    'nyuv2': 'nyu_depth_v2_labeled.mat of NYU Depth v2, or the folder it lies in',
    'sunrgbd': 'SUNRGBD/<sensor>/<set>/<sequence>/{image/*.jpg, depth/*.png, scene.txt}',
    'scannet': '<scene>/{color/<frame>.jpg, depth/<frame>.png} or <scene>/<scene>.sens',
    'eurosat-ms': '<Class>/<Class>_<number>.tif of EuroSAT with all 13 bands',
}
_OPEN: dict[str, Callable[..., list[Source]]] = {
    'folder': image_folder.open_sources,
    'nyuv2': nyu_depth_v2.open_sources,
    'sunrgbd': sun_rgbd.open_sources,
    'scannet': scannet.open_sources,
    'eurosat-ms': eurosat_ms.open_sources,
}


def options_of(layout: str) -> tuple[str, ...]:
    """
    List the options that a layout takes.

    :raises SourceError: when there is no such layout.
    """
    return tuple(inspect.signature(_opener(layout)).parameters)[1:]


def open_layout(layout: str, path: Path, **options: Any) -> list[Source]:
    """
    Open a data set; its sources may be read in parallel.

    :param options: as `options_of` lists them; None is the layout's own default.
    :raises SourceError: when the layout is unknown, an option does not belong to it, or the folder
        does not hold what the layout expects.
    """
    opener = _opener(layout)
    given = {name: value for name, value in options.items() if value is not None}
    strange = sorted(given.keys() - set(options_of(layout)))
    if strange:
        raise SourceError(f'layout {layout}: expected no option {", ".join(strange)}; it takes '
                          f'{", ".join(options_of(layout)) or "none"}')
    if not path.exists():
        raise SourceError(f'{path}: expected {LAYOUTS[layout]}; found no such file or folder')
    if layout in ('folder', 'sunrgbd', 'eurosat-ms') and not path.is_dir():
        raise SourceError(f'{path}: expected a folder with {LAYOUTS[layout]}; found a file')
    try:
        return opener(path, **given)
    except OSError as error:
        raise SourceError(f'{path}: cannot be read: {error}') from error


def _opener(layout: str) -> Callable[..., list[Source]]:
    if layout not in _OPEN:
        raise SourceError(f'expected one of the layouts {", ".join(_OPEN)}, found {layout!r}')
    return _OPEN[layout]
