# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
EuroSAT, all bands (Helber et al., 2019): colour and short-wave infrared of Sentinel-2.

    <root>/.../<Class>/<Class>_<number>.tif    64 x 64 pixels, 13 bands, 16 bits

The order of the bands in the files is B1 ... B8, B9, B10, B11, B12, B8A: B8A is last, not ninth
(github.com/phelber/EuroSAT issue 7, github.com/torchgeo/torchgeo issue 2458). Counts are
reflectance times 10000.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
import re
from typing import Any

from edgevl_ros.core.errors import BadImage
from edgevl_training.dataset import SecondModality
from edgevl_training.errors import SourceError
from edgevl_training.sources.files import by_stem, fingerprint_of, Found, read_inside
from edgevl_training.sources.source import Lose, PlainPicture, Source, SourcePair
from edgevl_training.sources.still_images import FRAME_ID, Lost, SECOND_NS
import numpy as np
from numpy.typing import NDArray

BANDS = ('B1', 'B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B9', 'B10', 'B11', 'B12', 'B8A')
_COLOR = [BANDS.index(name) for name in ('B4', 'B3', 'B2')]
_SWIR = BANDS.index('B12')
# What the publishers' own colour pictures show as white, by the FAQ of github.com/phelber/EuroSAT:
# gdal_translate -ot Byte -a_nodata 0 -scale 0 2750 1 255 -b 4 -b 3 -b 2
_WHITE = 2750
_MOST_PIXELS = 1 << 22
_EXPECTED = '<Class>/<Class>_<number>.tif, for example River/River_1.tif'
_STEM = re.compile(r'(?:.*/)?(?P<folder>[^/]+)/(?P<scene>.+)_(?P<number>[0-9]{1,9})')


def open_sources(path: Path, *, name: str | None = None) -> list[Source]:
    """
    Open EuroSAT with all bands as one source.

    :param name: of the source and its bag, the folder's if not given.
    :raises SourceError: when no file is named as in EuroSAT, or tifffile is not installed.
    """
    try:
        import tifffile  # noqa: F401
    except ImportError as error:
        raise SourceError(f"{path}: needs tifffile; run 'pip install tifffile'") from error
    source = EuroSatMs(name or path.resolve().name, path.resolve())
    if not source.size_bytes:
        raise SourceError(f'{path}: expected {_EXPECTED}, found no such file; unpack '
                          'EuroSAT_MS.zip and name its folder (EuroSAT_RGB has no infrared)')
    return [source]


class EuroSatMs:
    """The tiles by number and then class, so that a block of them is not all of one class."""

    def __init__(self, name: str, root: Path) -> None:
        """List the tiles below a folder."""
        self.name = name
        # White is the same count as in the colour picture of the tile.
        self.modality = SecondModality('swir', 'full scale', 1 / _WHITE, ())
        self._root = root
        self._losses: list[Lost] = []
        self._tiles = self._list_tiles()
        self.size_bytes = sum(file.size_bytes for file, _ in self._tiles)

    def _list_tiles(self) -> list[tuple[Found, str]]:
        """Give files and their class."""
        tiles = []
        found = by_stem(self._root, self._root, {'.tif', '.tiff'}, self._lose)
        for stem, file in found.items():
            match = _STEM.fullmatch(f'{self._root.name}/{stem}')
            if match is None or match['folder'] != match['scene']:
                self._lose(file.name, f'not named as expected: {_EXPECTED}')
            else:
                tiles.append((int(match['number']), match['scene'], file))
        tiles.sort(key=lambda tile: (*tile[:2], tile[2].name))
        return [(file, scene) for _, scene, file in tiles]

    def _lose(self, item: str, reason: str) -> None:
        self._losses.append((item, reason))

    def fingerprint(self) -> str:
        """Hash names and sizes of the files, not their content."""
        return fingerprint_of(file for file, _ in self._tiles)

    def pairs(self, lose: Lose, advance: Callable[[int], None]) -> Iterator[SourcePair]:
        """Read one tile after the other; stamps count seconds in their order."""
        for item, reason in self._losses:
            lose(item, reason)
        for index, (file, scene) in enumerate(self._tiles):
            advance(file.size_bytes)
            try:
                bands = read_bands(read_inside(self._root, file.name))
            except BadImage as error:
                lose(file.name, str(error))
                continue
            stamp_ns = index * SECOND_NS
            yield SourcePair(
                bag=self.name, timeline=0, color_stamp_ns=stamp_ns,
                color=PlainPicture(color_of(bands)), frame_id=FRAME_ID,
                depth_stamp_ns=stamp_ns,
                depth=PlainPicture(np.ascontiguousarray(bands[..., _SWIR])),
                depth_frame_id=FRAME_ID, truth=scene, item=file.name,
            )


def read_bands(data: bytes) -> NDArray[np.uint16]:
    """
    Read all bands of a tile, uint16 (H, W, 13).

    :raises BadImage: when the file is damaged, too large or has other bands.
    """
    import tifffile

    try:
        with tifffile.TiffFile(BytesIO(data)) as tiff:
            page: Any = tiff.pages[0]
            _check_page(page)
            bands = page.asarray()
            return bands if page.planarconfig == 1 else np.moveaxis(bands, 0, -1)
    except BadImage:
        raise
    except Exception as error:  # tifffile raises whatever a damaged file makes it trip over
        raise BadImage('no TIFF, or a damaged one') from error


def _check_page(page: Any) -> None:
    """Look at the header, before any pixel is decoded."""
    if page.imagewidth * page.imagelength > _MOST_PIXELS:
        raise BadImage(f'more than {_MOST_PIXELS} pixels')
    if page.samplesperpixel != len(BANDS) or page.dtype != np.uint16 or page.imagedepth != 1:
        raise BadImage(f'expected {len(BANDS)} bands of 16 bits')


def color_of(bands: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Show B4, B3 and B2 as the publishers do: 0 becomes 1, 2750 and more 255; uint8 (H, W, 3)."""
    stretched = 1 + bands[..., _COLOR] * (254 / _WHITE)
    color: NDArray[np.uint8] = np.rint(np.clip(stretched, 1, 255)).astype(np.uint8)
    return color
