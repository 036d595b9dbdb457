# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Decompression that is bounded, and that keeps what comes before the damage.

Neither a length in a damaged header nor a stream that unpacks to far more than it should makes it
allocate more than the limit.
"""

from __future__ import annotations

import bz2
from collections.abc import Iterable, Iterator
from typing import Any

import lz4.frame  # type: ignore[import-untyped]
import zstandard

ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'

ZSTD_PIECE = 1 << 12
_PIECE = 1 << 17
# zstd's own default for what a decoder should accept.
_ZSTD_WINDOW = 1 << 27


def inflate(compression: str, data: bytes, limit: int) -> tuple[bytes, str]:
    """
    Decompress as much as is sound.

    :param compression: '' or none, zstd, lz4 (frames) or bz2.
    :param limit: most bytes to give.
    :returns: the bytes and, where they are not all, the reason.
    """
    if compression in ('', 'none'):
        return data[:limit], '' if len(data) <= limit else f'larger than {limit} bytes'
    if compression == 'zstd' and (whole := _whole_zstd(data, limit)) is not None:
        return whole, ''
    pieces: list[bytes] = []
    size = 0
    try:
        for piece in _pieces(compression, data):
            pieces.append(piece[:limit - size])
            size += len(piece)
            if size > limit:
                return b''.join(pieces), f'unpacks to more than {limit} bytes'
    # Each library has errors of its own, and damage may raise any of them.
    except Exception as error:
        return b''.join(pieces), f'{compression} data is damaged: {error}'
    return b''.join(pieces), ''


def _whole_zstd(data: bytes, limit: int) -> bytes | None:
    """Decompress a sound frame that states its size, in one go; None for any other."""
    try:
        size = zstandard.get_frame_parameters(data).content_size
        if size in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR) or size > limit:
            return None
        return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompress(data)
    except (zstandard.ZstdError, MemoryError):
        return None


def _pieces(compression: str, data: bytes) -> Iterator[bytes]:
    if compression == 'zstd':
        yield from unpack_zstd(
            data[start:start + ZSTD_PIECE] for start in range(0, len(data), ZSTD_PIECE))
        return
    decompressor: Any = (
        lz4.frame.LZ4FrameDecompressor() if compression == 'lz4' else bz2.BZ2Decompressor()
    )
    for start in range(0, len(data), _PIECE):
        piece = data[start:start + _PIECE]
        while not decompressor.eof:
            yield decompressor.decompress(piece, 8 * _PIECE)
            piece = b''
            if decompressor.needs_input:
                break
    if not decompressor.eof:
        raise EOFError('it ends before its end mark')


def unpack_zstd(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """
    Decompress one or more zstd frames that come in pieces of at most 4 KiB.

    Such a piece unpacks to 128 MiB at the very most.

    :raises EOFError: when the last frame is cut off.
    :raises zstandard.ZstdError: when the data is damaged.
    """
    frame = None
    for packed in pieces:
        piece = packed
        while piece:
            if frame is None:
                frame = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
            yield frame.decompress(piece)
            piece = frame.unused_data if frame.eof else b''
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError('it ends before its end mark')
