# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
ROS image messages to arrays in SI units, and back.

Colour becomes uint8 RGB (H,W,3); depth becomes float32 metres (H,W) with NaN for no reading
(REP 118: 16UC1 is millimetres with 0 for no reading, 32FC1 is metres). Messages are anything with
the fields of sensor_msgs/Image or sensor_msgs/CompressedImage: from rclpy, from rosbags, or made
here. `check_*` looks at the structure without decoding, cheap enough for a subscription callback;
`decode_*` checks by itself. They raise BadImage and nothing else, whatever the message holds.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
import struct
import sys
from types import SimpleNamespace
from typing import Any, cast, Protocol, TypeAlias

import cv2
from edgevl_ros.core.errors import BadImage
from edgevl_ros.core.rvl import decode_rvl
import numpy as np
from numpy.typing import NDArray

MAX_SIDE = 16384
MAX_PIXELS = 1 << 25  # 33 megapixels: 134 MB as float32 depth, 101 MB as RGB

Array: TypeAlias = NDArray[Any]
Bytes: TypeAlias = NDArray[np.uint8]


class ImageLike(Protocol):
    """The fields of sensor_msgs/Image that are used; data is any buffer of bytes."""

    height: int
    width: int
    encoding: str
    is_bigendian: Any
    step: int
    data: Any


class CompressedImageLike(Protocol):
    """The fields of sensor_msgs/CompressedImage that are used; data is any buffer of bytes."""

    format: str  # noqa: A003
    data: Any


Unpack: TypeAlias = Callable[[ImageLike], Array]


@dataclass(frozen=True)
class EncodedImage:
    """The fields of sensor_msgs/Image; rclpy takes an array.array without copying it."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: array[int]


@dataclass(frozen=True)
class EncodedCompressedImage:
    """The fields of sensor_msgs/CompressedImage; rclpy takes an array.array without copying it."""

    format: str  # noqa: A003
    data: array[int]


@dataclass(frozen=True)
class _Layout:
    """How one encoding lies in memory, and how OpenCV turns it to RGB."""

    dtype: str
    channels: int
    to_rgb: int | None = None


# OpenCV names a Bayer pattern by the second row from the second column, ROS by the first pixels.
# 8UC3 has no colour order of its own; OpenCV images, which are published so, are BGR.
_COLOR = {
    'rgb8': _Layout('u1', 3),
    'bgr8': _Layout('u1', 3, cv2.COLOR_BGR2RGB),
    '8UC3': _Layout('u1', 3, cv2.COLOR_BGR2RGB),
    'rgba8': _Layout('u1', 4, cv2.COLOR_RGBA2RGB),
    'bgra8': _Layout('u1', 4, cv2.COLOR_BGRA2RGB),
    'mono8': _Layout('u1', 1, cv2.COLOR_GRAY2RGB),
    '8UC1': _Layout('u1', 1, cv2.COLOR_GRAY2RGB),
    'mono16': _Layout('u2', 1, cv2.COLOR_GRAY2RGB),
    'yuv422': _Layout('u1', 2, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': _Layout('u1', 2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': _Layout('u1', 2, cv2.COLOR_YUV2RGB_YUYV),
    'yuyv': _Layout('u1', 2, cv2.COLOR_YUV2RGB_YUYV),
    'bayer_rggb8': _Layout('u1', 1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': _Layout('u1', 1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': _Layout('u1', 1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': _Layout('u1', 1, cv2.COLOR_BayerGB2RGB),
}
_DEPTH = {
    '16UC1': _Layout('u2', 1),
    'mono16': _Layout('u2', 1),
    '32FC1': _Layout('f4', 1),
}
DEPTH_ENCODINGS = tuple(_DEPTH)

_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_PNG_END = b'IEND\xaeB`\x82'
_JPEG_START = b'\xff\xd8\xff'
_JPEG_END = b'\xff\xd9'
# Start-of-frame markers; the gaps are tables and an extension, not frames.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN = 0xDA
_JPEG_MOST_SEGMENTS = 1000

_DEPTH_HEADER = struct.Struct('<iff')  # format, quantization A and B
_RVL_SIZE = struct.Struct('<II')  # columns, rows


def check_color(msg: ImageLike) -> None:
    """
    Check the structure of a raw colour image without decoding it.

    :raises BadImage: it cannot be decoded to RGB.
    """
    _color_layout(msg)


def check_depth(msg: ImageLike) -> None:
    """
    Check the structure of a raw depth image without decoding it.

    :raises BadImage: it cannot be decoded to metres.
    """
    _depth_layout(msg)


def check_compressed_color(msg: CompressedImageLike) -> None:
    """
    Check that a message holds one whole JPEG or PNG of acceptable size, without decoding it.

    :raises BadImage: it is something else, truncated or too large.
    """
    _color_payload(msg)


def compressed_color_size(msg: CompressedImageLike) -> tuple[int, int]:
    """
    Return width and height of a whole JPEG or PNG, without decoding it.

    :raises BadImage: it is something else, truncated or too large.
    """
    return _color_payload(msg)[1]


def check_compressed_depth(msg: CompressedImageLike) -> None:
    """
    Check that a message holds one whole compressedDepth PNG or RVL, without decoding it.

    :raises BadImage: it is something else, truncated or too large.
    """
    _depth_payload(msg)


def decode_color(msg: ImageLike) -> Bytes:
    """
    Decode a raw colour image to uint8 RGB (H,W,3).

    rgb8 is not copied: the result is a read-only view of the message's data.

    :raises BadImage: the message cannot be decoded.
    """
    layout = _color_layout(msg)
    pixels = _pixels(msg, layout)
    if layout.to_rgb is None:
        return pixels
    if layout.dtype == 'u2':
        pixels = cv2.convertScaleAbs(_native(pixels), alpha=255 / 65535)
    try:
        return cast(Bytes, cv2.cvtColor(pixels, layout.to_rgb))
    except cv2.error as error:
        raise BadImage(f'colour image: OpenCV cannot convert {msg.encoding!r} of {msg.width}x'
                       f'{msg.height} to RGB ({_last_line(error)}); check the driver') from error


def decode_depth(msg: ImageLike) -> NDArray[np.float32]:
    """
    Decode a raw depth image to float32 metres (H,W), NaN where there is no reading.

    32FC1 in which all that is missing is NaN already is not copied: the result is a read-only
    view of the message's data.

    :raises BadImage: the message cannot be decoded.
    """
    pixels = _pixels(msg, _depth_layout(msg))
    return _metres_from_mm(pixels) if pixels.dtype.kind == 'u' else _clean_metres(_native(pixels))


def decode_compressed_color(msg: CompressedImageLike) -> Bytes:
    """
    Decode a JPEG or PNG to uint8 RGB (H,W,3); the payload itself says which of the two it is.

    :raises BadImage: the message cannot be decoded.
    """
    bgr = _imdecode(_color_payload(msg)[0], cv2.IMREAD_COLOR, 'compressed colour image')
    return cast(Bytes, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr))


def decode_compressed_depth(msg: CompressedImageLike) -> NDArray[np.float32]:
    """
    Decode compressedDepth, PNG or RVL, to float32 metres (H,W), NaN where there is no reading.

    :raises BadImage: the message cannot be decoded.
    """
    payload = _depth_payload(msg)
    if payload.rvl_size is None:
        values = _imdecode(payload.stream, cv2.IMREAD_UNCHANGED, 'compressed depth image')
        if values.dtype != np.uint16 or values.ndim != 2:
            raise BadImage('compressed depth image: expected one channel of 16 bits, found '
                           f'{values.dtype} {values.shape}; check the publisher')
    else:
        columns, rows = payload.rvl_size
        values = decode_rvl(payload.stream, columns * rows).reshape(rows, columns)
    if payload.quantization is None:
        return _metres_from_mm(values)
    a, b = payload.quantization
    # A value equal to B stands for infinity.
    with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
        metres = np.float32(a) / (values.astype(np.float32) - np.float32(b))
    metres[values == 0] = np.nan
    return _clean_metres(metres)


def encode_color(rgb: Bytes, encoding: str = 'rgb8') -> EncodedImage:
    """
    Encode uint8 RGB (H,W,3) as 'rgb8' or 'bgr8'.

    :raises ValueError: the array or the encoding is another.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f'rgb: expected uint8 (H,W,3), found {rgb.dtype} {rgb.shape}')
    if encoding not in ('rgb8', 'bgr8'):
        raise ValueError(f"encoding: expected 'rgb8' or 'bgr8', found {encoding!r}")
    return _encoded(rgb if encoding == 'rgb8' else rgb[..., ::-1], encoding)


def encode_depth(depth: NDArray[np.float32], encoding: str = '16UC1') -> EncodedImage:
    """
    Encode float32 metres (H,W) as '16UC1' millimetres or '32FC1' metres.

    In millimetres what is missing, or farther than 65.534 m, becomes 0.

    :raises ValueError: the array or the encoding is another.
    """
    if depth.dtype != np.float32 or depth.ndim != 2:
        raise ValueError(f'depth: expected float32 (H,W), found {depth.dtype} {depth.shape}')
    if encoding not in ('16UC1', '32FC1'):
        raise ValueError(f"encoding: expected '16UC1' or '32FC1', found {encoding!r}")
    return _encoded(_mm_from_metres(depth) if encoding == '16UC1' else depth, encoding)


def encode_compressed_depth(depth: NDArray[np.float32]) -> EncodedCompressedImage:
    """
    Encode float32 metres (H,W) as compressedDepth PNG of millimetres, 0 where nothing is known.

    :raises ValueError: the array is another.
    """
    if depth.dtype != np.float32 or depth.ndim != 2 or not depth.size:
        raise ValueError(f'depth: expected float32 (H,W), found {depth.dtype} {depth.shape}')
    png = cv2.imencode('.png', _mm_from_metres(depth))[1]
    data = array('B', _DEPTH_HEADER.pack(0, 0.0, 0.0))
    data.frombytes(png.tobytes())
    return EncodedCompressedImage('16UC1; compressedDepth png', data)


@lru_cache(maxsize=1)
def _cv_bridge() -> Any:
    from cv_bridge import CvBridge
    return CvBridge()


def unpack_with_cv_bridge(msg: ImageLike) -> Array:
    """View the pixels of a message without row padding, in native byte order, by cv_bridge."""
    return cast(Array, _cv_bridge().imgmsg_to_cv2(msg, desired_encoding='passthrough'))


def unpack_with_rosbags(msg: ImageLike) -> Array:
    """View the pixels of a message without row padding, in native byte order, by rosbags."""
    from rosbags.image import image_to_cvimage
    return cast(Array, image_to_cvimage(cast(Any, msg)))


def unpack_with_numpy(msg: ImageLike) -> Array:
    """View the pixels of any checked message: padded rows and either byte order too."""
    layout = _COLOR.get(msg.encoding) or _DEPTH[msg.encoding]
    dtype = np.dtype(layout.dtype).newbyteorder('>' if msg.is_bigendian else '<')
    shape: tuple[int, ...] = (msg.height, msg.width)
    strides: tuple[int, ...] = (msg.step, layout.channels * dtype.itemsize)
    if layout.channels > 1:
        shape, strides = (*shape, layout.channels), (*strides, dtype.itemsize)
    return np.ndarray(shape, dtype, buffer=_bytes(msg.data, 'image'), strides=strides)


@lru_cache(maxsize=1)
def installed_unpack() -> Unpack:
    """
    Return cv_bridge's unpacking where it is installed and works, else that of rosbags.

    Each is tried on one pixel, because some are importable but wrong: the cv-bridge on PyPI reads
    16UC1 as 8 bit, and cv_bridge fails when it was built for another major version of NumPy.
    """
    probe = SimpleNamespace(height=1, width=1, encoding='mono16', step=2, data=b'\x01\x02',
                            is_bigendian=int(sys.byteorder == 'big'))
    expected = np.frombuffer(probe.data, np.uint16).reshape(1, 1)
    for unpack in (unpack_with_cv_bridge, unpack_with_rosbags):
        with suppress(Exception):  # a broken installation may raise anything
            found = unpack(probe)
            if found.dtype == expected.dtype and np.array_equal(found, expected):
                return unpack
    return unpack_with_numpy


def _pixels(msg: ImageLike, layout: _Layout) -> Array:
    """View the pixels of a checked message, read-only: (H,W) or (H,W,C) in its own byte order."""
    itemsize = np.dtype(layout.dtype).itemsize
    swapped = itemsize > 1 and bool(msg.is_bigendian) != (sys.byteorder == 'big')
    padded = msg.step != msg.width * layout.channels * itemsize
    pixels = None
    if not padded and not swapped and not msg.is_bigendian:
        # The rest is beyond the libraries: rosbags takes row padding for pixels; cv_bridge copies
        # padded rows and shears those whose step is no multiple of a pixel; both swap (and so
        # copy) even single bytes, which cv_bridge cannot do at all with NumPy 2.
        with suppress(Exception):  # an encoding that this version does not know, like 'yuyv'
            pixels = installed_unpack()(msg)
    expected = (msg.height, msg.width) + ((layout.channels,) if layout.channels > 1 else ())
    if pixels is None or pixels.shape != expected or pixels.dtype != np.dtype(layout.dtype):
        pixels = unpack_with_numpy(msg)
    pixels = pixels.view()
    pixels.flags.writeable = False
    return pixels


def _native(pixels: Array) -> Array:
    # OpenCV misreads rows whose step is no multiple of the number in them.
    return np.require(pixels, pixels.dtype.newbyteorder('='), ['ALIGNED'])


def _bytes(data: Any, what: str) -> Bytes:
    try:
        return np.frombuffer(data, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        raise BadImage(f'{what}: expected data in a buffer of bytes, found '
                       f'{type(data).__name__} ({error}); check the publisher') from error


def _metres_from_mm(mm: Array) -> NDArray[np.float32]:
    metres = np.divide(mm, np.float32(1000), dtype=np.float32)
    # 0 wraps around to 65535, so one comparison finds both 0 and 65535.
    np.copyto(metres, np.nan, where=(mm - np.uint16(1)) >= 65534)
    return cast(NDArray[np.float32], metres)


def _mm_from_metres(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    with np.errstate(invalid='ignore', over='ignore'):
        mm = np.rint(depth * np.float32(1000))
        return np.where((mm >= 1) & (mm <= 65534), mm, 0).astype(np.uint16)


def _clean_metres(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    # Signalling NaNs, which corrupt data may hold, would make a comparison warn.
    with np.errstate(invalid='ignore'):
        usable = (depth > 0) & (depth < np.inf)
        if np.all(usable | np.isnan(depth)):
            return depth
        return np.where(usable, depth, np.float32(np.nan))


def _encoded(pixels: Array, encoding: str) -> EncodedImage:
    native = _native(pixels)
    data = array('B')
    data.frombytes(native.tobytes())
    return EncodedImage(
        height=native.shape[0], width=native.shape[1], encoding=encoding,
        is_bigendian=int(sys.byteorder == 'big'), step=native[:1].nbytes, data=data)


def _color_layout(msg: ImageLike) -> _Layout:
    layout = _COLOR.get(msg.encoding)
    if layout is None:
        if msg.encoding in _DEPTH:
            raise BadImage(f'colour image: expected a colour encoding, found {msg.encoding!r}, '
                           "which is depth; remap 'image' to the camera's colour topic")
        raise BadImage(f'colour image: expected one of {", ".join(_COLOR)}, found '
                       f'{str(msg.encoding)[:40]!r}; set the driver to one of these')
    _check_layout(msg, layout, 'colour image')
    if msg.encoding.startswith('bayer') and min(msg.width, msg.height) < 3:
        raise BadImage('colour image: expected a Bayer pattern of at least 3x3 pixels, found '
                       f'{msg.width}x{msg.height}; check the driver')
    if layout.channels == 2 and msg.width % 2:
        raise BadImage(f'colour image: expected an even width, as {msg.encoding!r} shares colour '
                       f'between two pixels, found {msg.width}; check the driver')
    return layout


def _depth_layout(msg: ImageLike) -> _Layout:
    layout = _DEPTH.get(msg.encoding)
    if layout is None:
        if msg.encoding in _COLOR:
            raise BadImage(f'depth image: expected a depth encoding, found {msg.encoding!r}, '
                           "which is colour; remap 'depth' to the camera's depth topic")
        raise BadImage(f'depth image: expected one of {", ".join(_DEPTH)}, found '
                       f'{str(msg.encoding)[:40]!r}; set the driver to one of these')
    _check_layout(msg, layout, 'depth image')
    return layout


def _check_layout(msg: ImageLike, layout: _Layout, what: str) -> None:
    _check_size(msg.width, msg.height, what)
    row = msg.width * layout.channels * np.dtype(layout.dtype).itemsize
    if msg.step < row:
        raise BadImage(f'{what}: expected a step of at least {row} bytes for {msg.width} pixels '
                       f'of {msg.encoding!r}, found {msg.step}; check the driver')
    expected = msg.step * (msg.height - 1) + row  # some drivers do not pad the last row
    found = len(_bytes(msg.data, what))
    if found < expected:
        raise BadImage(f'{what}: expected {expected} bytes for {msg.width}x{msg.height} '
                       f'{msg.encoding!r}, found {found}; the message is truncated, check the '
                       'driver and the network')


def _check_size(width: int, height: int, what: str) -> None:
    if width < 1 or height < 1:
        raise BadImage(f'{what}: expected at least 1x1 pixels, found {width}x{height}; '
                       'check the driver')
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise BadImage(f'{what}: expected at most {MAX_SIDE} pixels a side and {MAX_PIXELS} in '
                       f'all, found {width}x{height}; scale the image down before it gets here')


def _color_payload(msg: CompressedImageLike) -> tuple[Bytes, tuple[int, int]]:
    """Return a whole JPEG or PNG with its width and height."""
    what = 'compressed colour image'
    data = _bytes(msg.data, what)
    if 'compressedDepth' in msg.format or msg.format.startswith(('16UC1', '32FC1')):
        raise BadImage(f'{what}: expected colour, found depth (format {msg.format[:60]!r}); '
                       "remap 'image/compressed' to the camera's colour topic")
    start = data[:8].tobytes()
    if start.startswith(_JPEG_START):
        width, height = _jpeg_size(data.tobytes(), what)
    elif start == _PNG_SIGNATURE:
        width, height = _png_size(data, what)
    else:
        raise BadImage(f'{what}: expected a JPEG or PNG, found {len(data)} bytes that begin with '
                       f'{start.hex() or "nothing"} (format {msg.format[:60]!r}); set the '
                       "publisher's compressed format to jpeg or png")
    _check_size(width, height, what)
    return data, (width, height)


def _jpeg_size(data: bytes, what: str) -> tuple[int, int]:
    """Return width and height of a JPEG, once its end has been found after its image data."""
    size = None
    position = 2
    for _ in range(_JPEG_MOST_SEGMENTS):
        segment = data[position:position + 9]
        if len(segment) < 9 or segment[0] != 0xFF:
            break
        marker = segment[1]
        if marker == 0xFF:  # a fill byte before the marker
            position += 1
            continue
        if marker in _JPEG_FRAMES:
            size = struct.unpack('>HH', segment[5:9])
        position += 2 + struct.unpack('>H', segment[2:4])[0]
        if marker == _JPEG_SCAN:
            # Image data never holds this pair of bytes: an 0xFF in it is followed by 0.
            if size is None or data.find(_JPEG_END, position) < 0:
                break
            return size[1], size[0]
    raise BadImage(f'{what}: expected a whole JPEG from start to end marker, found {len(data)} '
                   'bytes without; it is truncated or corrupt, check the publisher and the '
                   'network')


def _png_size(data: Bytes, what: str) -> tuple[int, int]:
    """Return width and height of a PNG, once its last chunk has been found."""
    head = data[:24].tobytes()
    # Some publishers pad the end with zeros.
    if len(head) < 24 or head[12:16] != b'IHDR' or _PNG_END not in data[-512:].tobytes():
        raise BadImage(f'{what}: expected a whole PNG from IHDR to IEND, found {len(data)} bytes '
                       'without; it is truncated or corrupt, check the publisher and the network')
    width, height = struct.unpack('>II', head[16:24])
    return width, height


@dataclass(frozen=True)
class _DepthPayload:
    """What compressedDepth holds after its header; `rvl_size` is (columns, rows) or None: PNG."""

    stream: Bytes
    rvl_size: tuple[int, int] | None
    quantization: tuple[float, float] | None


def _depth_payload(msg: CompressedImageLike) -> _DepthPayload:
    what = 'compressed depth image'
    data = _bytes(msg.data, what)
    encoding, _, transport = (part.strip() for part in msg.format.partition(';'))
    if encoding not in _DEPTH or transport not in (
            '', 'compressedDepth', 'compressedDepth png', 'compressedDepth rvl'):
        raise BadImage(f"{what}: expected a format like '16UC1; compressedDepth png', found "
                       f"{msg.format[:60]!r}; remap 'depth/compressedDepth' to a topic of "
                       'compressed_depth_image_transport')
    if len(data) <= _DEPTH_HEADER.size:
        raise BadImage(f'{what}: expected a header of {_DEPTH_HEADER.size} bytes and an image, '
                       f'found {len(data)} bytes; the message is truncated')
    _, a, b = _DEPTH_HEADER.unpack(data[:_DEPTH_HEADER.size].tobytes())
    quantization = (a, b) if encoding == '32FC1' else None
    if quantization and not (0 < a < np.inf and abs(b) < np.inf):
        raise BadImage(f'{what}: expected finite quantization parameters, A above 0, in the '
                       f'header of 32FC1, found A={a} B={b}; check the publisher')
    stream = data[_DEPTH_HEADER.size:]
    if transport.endswith('rvl'):
        size, stream = _rvl_size(stream, what)
        return _DepthPayload(stream, size, quantization)
    if stream[:8].tobytes() != _PNG_SIGNATURE:
        raise BadImage(f'{what}: expected a PNG after the header of {_DEPTH_HEADER.size} bytes, '
                       f'found bytes that begin with {stream[:8].tobytes().hex()}; the publisher '
                       'must be compressed_depth_image_transport')
    _check_size(*_png_size(stream, what), what)
    return _DepthPayload(stream, None, quantization)


def _rvl_size(stream: Bytes, what: str) -> tuple[tuple[int, int], Bytes]:
    if len(stream) < _RVL_SIZE.size:
        raise BadImage(f'{what}: expected the size of the RVL image in {_RVL_SIZE.size} bytes, '
                       f'found {len(stream)}; the message is truncated')
    columns, rows = _RVL_SIZE.unpack(stream[:_RVL_SIZE.size].tobytes())
    _check_size(columns, rows, what)
    numbers = stream[_RVL_SIZE.size:]
    # A pixel takes four bytes at the very most: its difference and the lengths of two runs.
    if len(numbers) > 4 * columns * rows + 64:
        raise BadImage(f'{what}: expected at most 4 bytes for each of {columns}x{rows} RVL '
                       f'pixels, found {len(numbers)}; the message is corrupt')
    return (columns, rows), numbers


def _imdecode(data: Bytes, flags: int, what: str) -> Array:
    try:
        image = cv2.imdecode(data, flags)
    except cv2.error as error:
        raise BadImage(f'{what}: OpenCV cannot decode it ({_last_line(error)}); '
                       'check the publisher') from error
    if image is None:
        raise BadImage(f'{what}: expected a decodable image, found {len(data)} corrupt bytes; '
                       'check the publisher and the network')
    return cast(Array, image)


def _last_line(error: cv2.error) -> str:
    return str(error).strip().splitlines()[-1][:200]
