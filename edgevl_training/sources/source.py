# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every source of pairs gives: pictures as they were found, and a list of what was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from edgevl_training.dataset import SecondModality
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class EncodedPicture:
    """
    A picture in a file format, not decoded yet.

    Colour is JPEG or PNG; a second modality is a single-channel PNG whose counts are those of the
    source's `SecondModality`.
    """

    data: bytes
    format: str  # noqa: A003 (the field's own word)


@dataclass(frozen=True)
class PlainPicture:
    """Pixels: colour uint8 (H, W, 3) RGB, a second modality uint16 (H, W) counts."""

    pixels: NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class LatePicture:
    """
    A picture that is read and unpacked only if it is used: selection passes many over.

    ``load`` raises `BadImage` when the picture is damaged; it may be called in another thread.
    """

    load: Callable[[], EncodedPicture | PlainPicture]


Picture = EncodedPicture | PlainPicture | LatePicture


@dataclass(frozen=True)
class SourcePair:
    """
    One moment of a source: a colour picture and, mostly, its second modality.

    ``item`` is the file of the colour picture, relative to the source; bags have none. Stamps are
    nanoseconds; still images have none of their own and count one second each in the
    order of their names. ``truth`` is the scene that a data set names, for measuring only.
    """

    bag: str
    timeline: int
    color_stamp_ns: int
    color: Picture
    frame_id: str
    depth_stamp_ns: int | None = None
    depth: Picture | None = None
    depth_frame_id: str | None = None
    truth: str | None = None
    item: str = ''


# Called with the item that is lost (topic and stamp, or file) and the reason.
Lose = Callable[[str, str], None]


class Source(Protocol):
    """
    A bag, an image folder or a public data set.

    ``name`` is unique in a data set, ``size_bytes`` what there is to read, ``modality`` what the
    second pictures mean.
    """

    name: str
    size_bytes: int
    modality: SecondModality

    def fingerprint(self) -> str:
        """Identify the content without reading all of it."""
        ...

    def pairs(self, lose: Lose, advance: Callable[[int], None]) -> Iterator[SourcePair]:
        """
        Give every readable pair in order, with flat memory.

        :param lose: told of each item that does not become part of a pair, and why.
        :param advance: told of the bytes read since the last call, for progress.
        :raises SourceError: when there is nothing that could be read, naming the remedy.
        """
        ...
