# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures out of image messages of a bag, decoded only where they are not in a file format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import re
from typing import Any

from edgevl_ros.core.encodings import (
    check_compressed_depth,
    check_depth,
    decode_color,
    decode_compressed_depth,
    decode_depth,
    encode_depth,
    unpack_with_numpy,
)
from edgevl_ros.core.errors import BadImage
from edgevl_training.sources.source import EncodedPicture, PlainPicture
import numpy as np

# Before its payload, compressedDepth has a header of this size, and a PNG begins like this.
_DEPTH_HEADER_BYTES = 12
_PNG = b'\x89PNG'
# Where a PNG says how many bits a channel has, and which channels.
_PNG_KIND = slice(24, 26)
_GREY_OF_16_BITS = (16, 0)
# What `edgevl_ros.core.encodings` tells the user of a node.
_REMAPPING = re.compile(r"; remap '.*", re.DOTALL)


def color_picture(message: Any) -> EncodedPicture | PlainPicture:
    """
    Take the picture out of a colour message; what was compressed is not looked at yet.

    :raises BadImage: when the structure of a raw one is wrong.
    """
    if hasattr(message, 'encoding'):
        with _worded_for_bags("name the camera's colour topic with --rgb-topic"):
            return PlainPicture(decode_color(message))
    data = bytes(message.data)
    return EncodedPicture(data, 'png' if data.startswith(_PNG) else 'jpeg')


def depth_picture(message: Any) -> EncodedPicture | PlainPicture:
    """
    Take the picture out of a depth message, in millimetres.

    :raises BadImage: when its structure is wrong, or it cannot be decoded.
    """
    with _worded_for_bags("name the camera's depth topic with --depth-topic"):
        if hasattr(message, 'encoding'):
            check_depth(message)
            if message.encoding == '32FC1':
                return PlainPicture(_millimetres(decode_depth(message)))
            return PlainPicture(unpack_with_numpy(message).astype(np.uint16))
        return _compressed_depth_picture(message)


def _compressed_depth_picture(message: Any) -> EncodedPicture | PlainPicture:
    in_metres = message.format.startswith('32FC1')
    # compressed_image_transport, made for colour, publishes depth too: as PNG without a header.
    if bytes(message.data[:len(_PNG)]) == _PNG and not in_metres:
        return EncodedPicture(_checked_depth_png(bytes(message.data)), 'png')
    check_compressed_depth(message)
    stream = bytes(message.data[_DEPTH_HEADER_BYTES:])
    if stream.startswith(_PNG) and not in_metres:
        return EncodedPicture(stream, 'png')
    return PlainPicture(_millimetres(decode_compressed_depth(message)))


def _checked_depth_png(data: bytes) -> bytes:
    """Tell depth from a picture of it: 8 bits, or colour, hold no millimetres."""
    bits_and_kind = tuple(data[_PNG_KIND])
    if bits_and_kind != _GREY_OF_16_BITS:
        raise BadImage(
            'depth image: expected a PNG of one channel of 16 bits, found one of another kind '
            f"(bits a channel and colour type {bits_and_kind}); name the camera's depth topic "
            'with --depth-topic'
        )
    return data


@contextmanager
def _worded_for_bags(remedy: str) -> Iterator[None]:
    """Put a remedy for a bag in the place of the one for a node: to remap a live topic."""
    try:
        yield
    except BadImage as error:
        raise BadImage(_REMAPPING.sub(f'; {remedy}', str(error))) from error


def _millimetres(metres: Any) -> Any:
    encoded = encode_depth(metres)
    return np.frombuffer(encoded.data, np.uint16).reshape(encoded.height, encoded.width)
