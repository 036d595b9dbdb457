# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
NYU Depth v2 (Silberman et al., ECCV 2012): the file ``nyu_depth_v2_labeled.mat``.

It is a MATLAB 7.3 file, that is HDF5. MATLAB writes columns first, so what it calls images
(H, W, 3, N) is (N, 3, W, H) here, and depths (H, W, N) are (N, W, H) in metres. Scenes
(``kitchen_0001``) and scene types (``kitchen``) are cells: references to strings of UTF-16 units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
import re
from typing import Any

from edgevl_ros.core.errors import BadImage
from edgevl_training.dataset import SecondModality
from edgevl_training.errors import SourceError
from edgevl_training.sources.files import fingerprint_of, Found
from edgevl_training.sources.pictures import check_size
from edgevl_training.sources.source import Lose, PlainPicture, Source, SourcePair
from edgevl_training.sources.still_images import (
    check_depth_kind,
    FILLED_DEPTH,
    FRAME_ID,
    RAW_DEPTH,
    SECOND_NS,
)
import numpy as np
from numpy.typing import NDArray

_FILE = 'nyu_depth_v2_labeled.mat'
_EXPECTED = (
    f'{_FILE} with images uint8 (N, 3, W, H) and depths float32 (N, W, H), as published at '
    'https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html'
)
_DEPTHS = {FILLED_DEPTH: 'depths', RAW_DEPTH: 'rawDepths'}
_LARGEST_CHUNK_BYTES = 1 << 28
_LONGEST_NAME = 200
_PART = re.compile('(?<=_[0-9]{4})[a-z]$')
# Chunks of the published file span several images: keep some while they are read one by one.
_CACHE_BYTES = 1 << 26


def open_sources(
    path: Path, *, name: str | None = None, depth_kind: str = FILLED_DEPTH
) -> list[Source]:
    """
    Open the labelled part of NYU Depth v2 as one source.

    :param name: of the source, the file's if not given.
    :param depth_kind: filled, where holes are closed, or raw, what the sensor gave.
    :raises SourceError: when the file is not there or is another one.
    """
    file = path / _FILE if path.is_dir() else path
    if not file.is_file():
        raise SourceError(f'{file}: expected {_EXPECTED}; found no such file')
    source = NyuDepthV2(name or file.stem, file.resolve(), _DEPTHS[check_depth_kind(depth_kind)])
    with source.opened() as mat:
        source.check(mat)
    return [source]


class NyuDepthV2:
    """The labelled pairs, read one by one; each place is a bag."""

    def __init__(self, name: str, path: Path, depths: str) -> None:
        """Name the file and which of its depths to take."""
        self.name = name
        self.size_bytes = path.stat().st_size
        self.modality = SecondModality()
        self._path = path
        self._depths = depths

    def fingerprint(self) -> str:
        """Hash the file's name and size, not its content."""
        return fingerprint_of([Found(self._path.name, self.size_bytes)])

    def opened(self) -> Any:
        """
        Open the file for reading.

        :raises SourceError: when it is not HDF5, or h5py is not installed.
        """
        try:
            return _h5py(self._path).File(self._path, 'r', rdcc_nbytes=_CACHE_BYTES)
        except OSError as error:
            raise SourceError(f'{self._path}: expected {_EXPECTED}; found a file that HDF5 cannot '
                              'open: it is damaged or incomplete, download it again') from error

    def check(self, mat: Any) -> None:
        """
        Check that images and depths are there, of the same size and not beyond memory.

        :raises SourceError: naming what was found instead.
        """
        images, depths = (self._dataset(mat, name) for name in ('images', self._depths))
        shape = images.shape
        fits = (
            len(shape) == 4 and shape[1] == 3 and images.dtype == np.uint8
            and depths.shape == (shape[0], *shape[2:]) and depths.dtype.kind == 'f'
        )
        if not fits:
            raise SourceError(
                f'{self._path}: expected {_EXPECTED}; found images {images.dtype} {shape} and '
                f'{self._depths} {depths.dtype} {depths.shape}'
            )
        try:
            check_size(*shape[2:])
        except BadImage as error:
            raise SourceError(f'{self._path}: {error}') from error

    def _dataset(self, mat: Any, name: str) -> Any:
        """Give a variable that lies in this very file: HDF5 could refer to any other one."""
        h5py = _h5py(self._path)
        link = mat.get(name, getlink=True) if name in mat else None
        found = mat[name] if isinstance(link, h5py.HardLink) else None
        if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
            listed = ', '.join(sorted(key for key in mat if not key.startswith('#')))
            raise SourceError(f'{self._path}: expected {_EXPECTED}; found no variable {name} of '
                              f'its own among {listed or "none"}')
        chunk_bytes = int(np.prod(found.chunks or (0,), dtype=np.float64)) * found.dtype.itemsize
        if chunk_bytes > _LARGEST_CHUNK_BYTES:
            raise SourceError(f'{self._path}: {name}: expected chunks of at most '
                              f'{_LARGEST_CHUNK_BYTES} bytes, found {chunk_bytes}')
        return found

    def pairs(self, lose: Lose, advance: Callable[[int], None]) -> Iterator[SourcePair]:
        """Read one pair after the other; stamps count seconds in the order of the file."""
        with self.opened() as mat:
            self.check(mat)
            images, depths = mat['images'], mat[self._depths]
            count = images.shape[0]
            for index in range(count):
                item = self._item(index)
                pair = None
                try:
                    pair = self._pair(mat, index, images[index], depths[index])
                except (OSError, RuntimeError, ValueError) as error:
                    lose(item, f'cannot be read: {type(error).__name__}')
                advance(self.size_bytes * (index + 1) // count - self.size_bytes * index // count)
                if pair is not None:
                    yield pair

    def _item(self, index: int) -> str:
        return f'{self._path.name}[{index}]'

    def _pair(
        self, mat: Any, index: int, image: NDArray[np.uint8], depth: NDArray[np.float32]
    ) -> SourcePair:
        stamp_ns = index * SECOND_NS
        return SourcePair(
            bag=_place(_cell(mat, 'scenes', index) or self.name), timeline=0,
            color_stamp_ns=stamp_ns, frame_id=FRAME_ID,
            color=PlainPicture(np.ascontiguousarray(image.transpose(2, 1, 0))),
            depth_stamp_ns=stamp_ns, depth=PlainPicture(_millimetres(depth.T)),
            depth_frame_id=FRAME_ID, truth=_cell(mat, 'sceneTypes', index),
            item=self._item(index),
        )


def _h5py(path: Path) -> Any:
    try:
        return import_module('h5py')
    except ImportError as error:
        raise SourceError(f"{path}: needs h5py; run 'pip install h5py'") from error


def _millimetres(metres: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round to millimetres; 0 is no reading, and 65535 is what lies beyond."""
    clean = np.nan_to_num(metres, nan=0.0, posinf=0.0, neginf=0.0)
    counts: NDArray[np.uint16] = np.rint(np.clip(clean * 1000.0, 0, 65535)).astype(np.uint16)
    return np.ascontiguousarray(counts)


def _place(scene: str) -> str:
    """Give the place of a scene; basement_0001a and basement_0001b are parts of one walk."""
    return _PART.sub('', scene)


def _cell(mat: Any, name: str, index: int) -> str | None:
    """Read a string of a MATLAB cell array (N, 1), which HDF5 shows as (1, N) references."""
    h5py = _h5py(mat.filename)
    cells = mat.get(name)
    if not isinstance(cells, h5py.Dataset) or h5py.check_ref_dtype(cells.dtype) is None:
        return None
    references = np.ravel(cells[()])
    text = mat[references[index]] if index < references.size and references[index] else None
    if not isinstance(text, h5py.Dataset) or text.dtype.kind != 'u' or text.size > _LONGEST_NAME:
        return None
    units = np.ravel(text[()]).astype('<u2')
    return units.tobytes().decode('utf-16-le', errors='replace').strip() or None
