# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
ScanNet's recorded stream, a ``.sens`` file of version 4, read frame by frame.

The layout is that of the reader that ScanNet publishes (github.com/ScanNet/ScanNet, SensReader).
All numbers are little-endian.

    uint32 version, uint64 length and the sensor's name, four float32 4x4 matrices (intrinsics and
    extrinsics of colour and depth), int32 compression of colour (1 PNG, 2 JPEG) and of depth
    (0 raw, 1 zlib), uint32 width and height of colour and of depth, float32 counts per metre,
    uint64 number of frames; then for each frame
    float32 4x4 pose, uint64 stamps of colour and depth in microseconds, uint64 sizes of colour and
    depth in bytes, and the data of both
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
import struct
from typing import BinaryIO
import zlib

from edgevl_ros.core.errors import BadImage
from edgevl_training.dataset import SecondModality
from edgevl_training.errors import SourceError
from edgevl_training.sources.files import fingerprint_of, Found
from edgevl_training.sources.pictures import check_size
from edgevl_training.sources.source import (
    EncodedPicture,
    LatePicture,
    Lose,
    PlainPicture,
    SourcePair,
)
from edgevl_training.sources.still_images import FRAME_ID, Lost, SECOND_NS
import numpy as np

VERSION = 4
START = struct.Struct('<IQ')  # version, length of the sensor's name
HEADER = struct.Struct('<256xiiIIIIfQ')
FRAME = struct.Struct('<64xQQQQ')
_LONGEST_NAME = 1000
_COLOR_FORMATS = {1: 'png', 2: 'jpeg'}
_RAW, _ZLIB = 0, 1
_LARGEST_IMAGE_BYTES = 1 << 27
# A stamp beyond (31 years in microseconds) is not one.
_LATEST_US = 10 ** 15
_FRAME_NS = SECOND_NS // 30


@dataclass(frozen=True)
class _Header:
    color_format: str
    depth_kind: int
    depth_width: int
    depth_height: int
    counts_per_metre: float
    frames: int


@dataclass(frozen=True)
class _Frame:
    color_us: int
    depth_us: int
    color: bytes
    depth: bytes


class ScanNetStream:
    """One scene; what follows a damaged frame is lost, for nothing tells where the next begins."""

    def __init__(
        self, name: str, path: Path, bag: str, timeline: int, truth: str | None,
        losses: Iterable[Lost] = (),
    ) -> None:
        """Read the header; a damaged one is reported when the pairs are read."""
        self.name = name
        self.size_bytes = path.stat().st_size
        self.modality = SecondModality()
        self._path = path
        self._bag = bag
        self._timeline = timeline
        self._truth = truth
        self._losses = tuple(losses)
        try:
            with path.open('rb') as stream:
                self.modality = SecondModality(scale=1 / self._header(stream).counts_per_metre)
        except (OSError, SourceError):
            pass  # said by pairs(), so that other scenes are still read

    def fingerprint(self) -> str:
        """Hash the file's name and size, not its content."""
        return fingerprint_of([Found(self._path.name, self.size_bytes)])

    def pairs(self, lose: Lose, advance: Callable[[int], None]) -> Iterator[SourcePair]:
        """
        Read one frame after the other.

        :raises SourceError: when the header is not that of a stream of version 4.
        """
        for item, reason in self._losses:
            lose(item, reason)
        try:
            with self._path.open('rb') as stream:
                yield from self._frames(stream, lose, advance)
        except OSError as error:
            raise SourceError(f'{self._path}: cannot be read: {error.strerror}') from error

    def _frames(
        self, stream: BinaryIO, lose: Lose, advance: Callable[[int], None]
    ) -> Iterator[SourcePair]:
        header = self._header(stream)
        before_ns = -_FRAME_NS
        done = 0
        for index in range(header.frames):
            item = self._item(index)
            try:
                frame = self._frame(stream)
            except BadImage as error:
                rest = header.frames - index
                lose(item, f'{error}; the rest of the stream is lost')
                for missed in range(index + 1, index + min(rest, 1_000_000)):
                    lose(self._item(missed), 'after a damaged frame')
                break
            advance(stream.tell() - done)
            done = stream.tell()
            stamp_ns = _rising_stamp(frame.color_us, before_ns)
            before_ns = stamp_ns
            yield self._pair(frame, header, stamp_ns, item)
        advance(self.size_bytes - done)

    def _item(self, index: int) -> str:
        return f'{self._path.name}[{index}]'

    def _pair(self, frame: _Frame, header: _Header, stamp_ns: int, item: str) -> SourcePair:
        depth_ns = stamp_ns
        if 0 < frame.color_us <= _LATEST_US and 0 < frame.depth_us <= _LATEST_US:
            depth_ns += (frame.depth_us - frame.color_us) * 1000
        return SourcePair(
            bag=self._bag, timeline=self._timeline, color_stamp_ns=stamp_ns,
            color=EncodedPicture(frame.color, header.color_format), frame_id=FRAME_ID,
            depth_stamp_ns=depth_ns,
            depth=LatePicture(partial(_depth, frame.depth, header)), depth_frame_id=FRAME_ID,
            truth=self._truth, item=item,
        )

    def _header(self, stream: BinaryIO) -> _Header:
        expected = f'{self._path}: expected a ScanNet stream of version {VERSION}'
        remedy = 'download it again, or export its frames with SensReader'
        try:
            version, length = START.unpack(_read(stream, START.size))
            if version != VERSION or length > _LONGEST_NAME:
                raise SourceError(f'{expected}, found version {version}; {remedy}')
            _read(stream, length)
            fields = HEADER.unpack(_read(stream, HEADER.size))
            color_kind, depth_kind, _, _, width, height, counts_per_metre, frames = fields
            check_size(width, height)
        except BadImage as error:
            raise SourceError(f'{expected}, found a header with {error}; {remedy}') from error
        if color_kind not in _COLOR_FORMATS or depth_kind not in (_RAW, _ZLIB):
            raise SourceError(f'{expected} with PNG or JPEG colour and raw or zlib depth, found '
                              f'the kinds {color_kind} and {depth_kind}; {remedy}')
        if not (isfinite(counts_per_metre) and counts_per_metre > 0):
            raise SourceError(f'{expected}, found {counts_per_metre} counts per metre; {remedy}')
        return _Header(_COLOR_FORMATS[color_kind], depth_kind, width, height, counts_per_metre,
                       min(frames, self.size_bytes // FRAME.size))

    def _frame(self, stream: BinaryIO) -> _Frame:
        color_us, depth_us, color_bytes, depth_bytes = FRAME.unpack(_read(stream, FRAME.size))
        if max(color_bytes, depth_bytes) > _LARGEST_IMAGE_BYTES:
            raise BadImage('damaged frame')
        return _Frame(color_us, depth_us, _read(stream, color_bytes), _read(stream, depth_bytes))


def _read(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise BadImage('truncated data')
    return data


def _rising_stamp(own_us: int, before_ns: int) -> int:
    """Give a frame's own stamp; one that does not rise comes a frame after the last."""
    own_ns = own_us * 1000 if 0 < own_us <= _LATEST_US else 0
    return own_ns if own_ns > before_ns else before_ns + _FRAME_NS


def _depth(data: bytes, header: _Header) -> PlainPicture:
    size = header.depth_width * header.depth_height * 2
    if header.depth_kind == _ZLIB:
        try:
            data = zlib.decompressobj().decompress(data, size + 1)
        except zlib.error as error:
            raise BadImage('damaged depth') from error
    if len(data) != size:
        raise BadImage('depth of another size than the header says')
    counts = np.frombuffer(data, '<u2').astype(np.uint16)
    return PlainPicture(counts.reshape(header.depth_height, header.depth_width))
