# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of picture files: what image folders, SUN RGB-D and exported ScanNet frames share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from edgevl_ros.core.errors import BadImage
from edgevl_training.dataset import SecondModality
from edgevl_training.errors import SourceError
from edgevl_training.sources.files import fingerprint_of, Found, natural_order, read_inside
from edgevl_training.sources.pictures import color_picture, counts_picture, LoadedPicture
from edgevl_training.sources.source import LatePicture, Lose, SourcePair

SECOND_NS = 1_000_000_000
# Both pictures of a still are taken to see the scene from the same place.
FRAME_ID = 'camera'

RAW_DEPTH, FILLED_DEPTH = 'raw', 'filled'

Lost = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Still:
    """Two files that belong together; ``second`` is None where there is colour only."""

    color: Found
    second: Found | None
    bag: str
    stamp_ns: int
    truth: str | None = None
    timeline: int = 0


def check_depth_kind(kind: str) -> str:
    """
    Give back which depth of a data set is asked for.

    :raises SourceError: when it is neither raw nor filled.
    """
    if kind not in (RAW_DEPTH, FILLED_DEPTH):
        raise SourceError(f'--depth-kind: expected {RAW_DEPTH} or {FILLED_DEPTH}, found {kind!r}')
    return kind


def depth_picture(data: bytes) -> LoadedPicture:
    """
    Give a 16-bit depth picture as it is.

    :raises BadImage: when it is damaged or has other bits.
    """
    return counts_picture(data, bits=16)[0]


def matched(
    colors: dict[str, Found], seconds: dict[str, Found], modality: str,
    lose: Callable[[str, str], None],
) -> Iterator[tuple[str, Found, Found]]:
    """Give stem, colour and second modality in natural order; what has no partner is lost."""
    for stem in sorted(colors.keys() | seconds.keys(), key=natural_order):
        if stem not in seconds:
            lose(colors[stem].name, f'no {modality} picture of the same stem')
        elif stem not in colors:
            lose(seconds[stem].name, 'no colour picture of the same stem')
        else:
            yield stem, colors[stem], seconds[stem]


class StillImages:
    """A source of picture files in one folder; what was lost is told with the pairs."""

    def __init__(
        self, name: str, root: Path, stills: Sequence[Still], modality: SecondModality,
        losses: Iterable[Lost] = (),
        decode_second: Callable[[bytes], LoadedPicture] = depth_picture,
    ) -> None:
        """Describe what there is; ``root`` is resolved, and no picture comes from outside it."""
        self.name = name
        self.modality = modality
        self._root = root
        self._stills = stills
        self._losses = tuple(losses)
        self._decode_second = decode_second
        self.size_bytes = sum(file.size_bytes for file in self._files())

    def _files(self) -> Iterator[Found]:
        for still in self._stills:
            yield still.color
            if still.second is not None:
                yield still.second

    def fingerprint(self) -> str:
        """Hash names and sizes of the files, not their content."""
        return fingerprint_of(self._files())

    def pairs(self, lose: Lose, advance: Callable[[int], None]) -> Iterator[SourcePair]:
        """Give one pair after the other; its pictures are read when they are loaded."""
        for item, reason in self._losses:
            lose(item, reason)
        for still in self._stills:
            yield self._pair(still)
            advance(still.color.size_bytes + (still.second.size_bytes if still.second else 0))

    def _pair(self, still: Still) -> SourcePair:
        pair = SourcePair(
            bag=still.bag, timeline=still.timeline, color_stamp_ns=still.stamp_ns,
            color=self._late(still.color, color_picture), frame_id=FRAME_ID, truth=still.truth,
            item=still.color.name,
        )
        if still.second is None:
            return pair
        return replace(
            pair, depth_stamp_ns=still.stamp_ns, depth_frame_id=FRAME_ID,
            depth=self._late(still.second, self._decode_second),
        )

    def _late(self, file: Found, decode: Callable[[bytes], LoadedPicture]) -> LatePicture:
        return LatePicture(partial(_load, self._root, file.name, decode))


def _load(
    root: Path, name: str, decode: Callable[[bytes], LoadedPicture]
) -> LoadedPicture:
    try:
        return decode(read_inside(root, name))
    except BadImage as error:
        raise BadImage(f'{name}: {error}') from error
