# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
SUN RGB-D (Song, Lichtenberg and Xiao, CVPR 2015), as its archive unpacks.

    SUNRGBD/<sensor>/<set>/.../<sequence>/{image/*.jpg, depth/*.png, depth_bfx/*.png, scene.txt}

A sequence is one pair. Sequences that lie in the same folder were often taken one after the other,
in the same place; that folder is their bag, so that a split does not tear them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import os
from pathlib import Path

from edgevl_ros.core.errors import BadImage
from edgevl_training.dataset import SecondModality
from edgevl_training.errors import SourceError
from edgevl_training.sources.files import (
    by_stem,
    Found,
    lose_linked_folders,
    natural_order,
    read_line,
)
from edgevl_training.sources.pictures import counts_array, SUFFIXES
from edgevl_training.sources.source import PlainPicture, Source
from edgevl_training.sources.still_images import (
    check_depth_kind,
    FILLED_DEPTH,
    Lost,
    RAW_DEPTH,
    SECOND_NS,
    Still,
    StillImages,
)
import numpy as np
from numpy.typing import NDArray

_IMAGE = 'image'
_DEPTHS = {RAW_DEPTH: 'depth', FILLED_DEPTH: 'depth_bfx'}


def open_sources(
    path: Path, *, name: str | None = None, depth_kind: str = RAW_DEPTH
) -> list[Source]:
    """
    Open SUN RGB-D, or a part of it, as one source for each folder of sequences.

    :param name: what the names of the sources begin with, the folder's if not given.
    :param depth_kind: raw, what the sensor gave, or filled (``depth_bfx``), whose holes are closed
        from neighbouring frames.
    :raises SourceError: when there is no sequence.
    """
    root = path.resolve()
    losses: list[Lost] = []
    folders: dict[Path, list[Path]] = {}
    for sequence in _sequences(root, lambda item, reason: losses.append((item, reason))):
        folders.setdefault(sequence.parent, []).append(sequence)
    if not folders:
        raise SourceError(
            f'{root}: expected SUNRGBD/<sensor>/<set>/<sequence>/image/*.jpg with depth/*.png '
            'beside it, found no folder called image; unpack SUNRGBD.zip and name its folder'
        )
    depth = _DEPTHS[check_depth_kind(depth_kind)]
    sources: list[Source] = []
    for parent in sorted(folders, key=lambda folder: natural_order(folder.as_posix())):
        bag = (Path(name or root.name) / parent.relative_to(root)).as_posix()
        sources.append(_source(root, bag, folders[parent], depth, losses))
        losses = []  # told once, with the first source
    return sources


def _sequences(root: Path, lose: Callable[[str, str], None]) -> Iterator[Path]:
    for directory, folders, _ in os.walk(root):
        here = Path(directory)
        if _IMAGE in folders and here != root:
            folders.clear()
            yield here
        folders.sort()
        lose_linked_folders(root, here, folders, lose)


def _source(
    root: Path, bag: str, sequences: list[Path], depth: str, losses: list[Lost]
) -> StillImages:
    lost = list(losses)
    stills = []
    ordered = sorted(sequences, key=lambda sequence: natural_order(sequence.name))
    for index, sequence in enumerate(ordered):
        item = sequence.relative_to(root).as_posix()
        color = _only_picture(root, sequence / _IMAGE)
        second = _only_picture(root, sequence / depth)
        if color is None or second is None:
            lost.append((item, f'expected one picture each in {_IMAGE} and {depth}'))
            continue
        truth = read_line(root, f'{item}/scene.txt')
        stills.append(Still(color, second, bag, index * SECOND_NS, truth))
    return StillImages(bag, root, stills, SecondModality(), lost, depth_counts)


def _only_picture(root: Path, folder: Path) -> Found | None:
    found = by_stem(root, folder, SUFFIXES, lambda _item, _reason: None)
    return next(iter(found.values())) if len(found) == 1 else None


def depth_counts(data: bytes) -> PlainPicture:
    """
    Decode a depth picture to millimetres.

    Its bits are rotated left by three; the toolbox (SUNRGBDtoolbox/readData/read3dPoints.m) turns
    them back with ``bitor(bitshift(d, -3), bitshift(d, 16 - 3))``.

    :raises BadImage: when it is damaged or not of 16 bits.
    """
    rotated = counts_array(data)
    if rotated.dtype != np.uint16:
        raise BadImage('expected 16-bit depth')
    millimetres: NDArray[np.uint16] = (rotated >> np.uint16(3)) | (rotated << np.uint16(13))
    return PlainPicture(millimetres)
