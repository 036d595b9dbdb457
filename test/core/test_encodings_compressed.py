# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of compressed image messages to arrays and back."""

from __future__ import annotations

from array import array
import os
from pathlib import Path
import struct
from types import SimpleNamespace
from typing import Any

import cv2
from edgevl_ros.core import encodings
from edgevl_ros.core.errors import BadImage
from edgevl_ros.core.rvl import decode_rvl
from hypothesis import example, given, settings, strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest

settings.register_profile('encodings', deadline=None)
settings.load_profile('encodings')

JPEG = 'rgb8; jpeg compressed bgr8'
DEPTH_PNG = '16UC1; compressedDepth png'
DEPTH_RVL = '16UC1; compressedDepth rvl'
NO_QUANTIZATION = struct.pack('<iff', 0, 0, 0)


def message(format_: str, data: Any) -> SimpleNamespace:
    return SimpleNamespace(format=format_, data=data)


def picture(height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Make a smooth RGB picture, red to the right, green downwards, blue constant."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([255 * x / width, 255 * y / height, np.full_like(x, 90)], -1).astype(np.uint8)


def encode(extension: str, image: NDArray[Any], *parameters: int) -> bytes:
    return bytes(cv2.imencode(extension, image, parameters)[1].tobytes())


def jpeg(*parameters: int) -> bytes:
    return encode('.jpg', picture()[..., ::-1], cv2.IMWRITE_JPEG_QUALITY, 95, *parameters)


def slow_rvl(values: list[int]) -> bytes:
    """Encode by the letter of the paper, one nibble at a time."""
    nibbles: list[int] = []

    def put(number: int) -> None:
        while True:
            group, number = number & 7, number >> 3
            nibbles.append(group | (8 if number else 0))
            if not number:
                return

    position, previous = 0, 0
    while position < len(values):
        end = position
        while end < len(values) and values[end] == 0:
            end += 1
        put(end - position)
        position = end
        while end < len(values) and values[end] != 0:
            end += 1
        put(end - position)
        for value in values[position:end]:
            difference = value - previous
            put(2 * difference if difference >= 0 else -2 * difference - 1)
            previous = value
        position = end
    nibbles += [0] * (-len(nibbles) % 8)
    words = [int(''.join(f'{n:x}' for n in nibbles[i:i + 8]), 16)
             for i in range(0, len(nibbles), 8)]
    return struct.pack(f'<{len(words)}I', *words)


def rvl_message(mm: NDArray[np.uint16], header: bytes = NO_QUANTIZATION) -> SimpleNamespace:
    size = struct.pack('<II', mm.shape[1], mm.shape[0])
    return message(DEPTH_RVL, header + size + slow_rvl(mm.ravel().tolist()))


DEPTH_MM = np.random.default_rng(3).integers(400, 5000, (24, 32)).astype(np.uint16)
DEPTH_MM[4:9, 7:20] = 0
DEPTH_MM[0, :5] = 65535
DEPTH_M = np.where((DEPTH_MM == 0) | (DEPTH_MM == 65535), np.nan, DEPTH_MM / 1000).astype('f4')


@pytest.mark.parametrize('format_', [JPEG, 'jpeg', 'bgr8; jpeg compressed ', 'png', ''])
@pytest.mark.parametrize('container', [
    bytes, bytearray, memoryview, lambda d: array('B', d), lambda d: np.frombuffer(d, np.uint8)])
def test_the_payload_says_what_it_is(format_: str, container: Any) -> None:
    rgb = encodings.decode_compressed_color(message(format_, container(jpeg())))
    assert rgb.shape == (48, 64, 3) and rgb.dtype == np.uint8
    assert np.abs(rgb.astype(int) - picture()).mean() < 3
    png = encode('.png', picture()[..., ::-1])
    assert np.array_equal(
        encodings.decode_compressed_color(message(format_, container(png))), picture())


@pytest.mark.parametrize('extension', ['.jpg', '.png'])
def test_grey_becomes_three_equal_channels(extension: str) -> None:
    grey = encode(extension, picture()[..., 0])
    rgb = encodings.decode_compressed_color(message('mono8; jpeg compressed mono8', grey))
    assert rgb.shape == (48, 64, 3)
    assert np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 0], rgb[..., 2])


def test_png_with_alpha_or_16_bits_becomes_8_bit_rgb() -> None:
    rgba = np.dstack([picture()[..., ::-1], np.full((48, 64), 200, np.uint8)])
    wide = picture()[..., ::-1].astype(np.uint16) * 257
    for image in (rgba, wide):
        rgb = encodings.decode_compressed_color(message('png', encode('.png', image)))
        assert np.array_equal(rgb, picture())


@pytest.mark.parametrize('data', [
    pytest.param(jpeg(), id='baseline'),
    pytest.param(jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, 1), id='progressive'),
    pytest.param(jpeg(cv2.IMWRITE_JPEG_RST_INTERVAL, 2), id='restart markers'),
    pytest.param(encode('.png', picture()), id='png')])
def test_truncation_is_found_wherever_it_happens(data: bytes) -> None:
    for length in range(len(data) - 1):
        with pytest.raises(BadImage):
            encodings.check_compressed_color(message('', data[:length]))
    # OpenCV itself would fill the rest of a JPEG with grey.
    with pytest.raises(BadImage, match='truncated'):
        encodings.decode_compressed_color(message('', data[:len(data) // 2] + bytes(100)))


@pytest.mark.parametrize('tail', [b'', bytes(7), bytes(300)])
def test_padding_after_the_end_is_allowed(tail: bytes) -> None:
    for data in (jpeg(), encode('.png', picture())):
        encodings.decode_compressed_color(message('', data + tail))


def test_a_thumbnail_inside_a_truncated_jpeg_does_not_pass_for_its_end() -> None:
    thumbnail = jpeg()[:3000] + b'\xff\xd9'
    segment = b'\xff\xe1' + struct.pack('>H', 2 + len(thumbnail)) + thumbnail
    whole = jpeg()[:2] + segment + jpeg()[2:]
    encodings.check_compressed_color(message('', whole))
    with pytest.raises(BadImage, match='truncated'):
        encodings.check_compressed_color(message('', whole[:-200]))


def bomb(extension: str) -> bytes:
    """Make a small file that says it is 60000 x 60000 pixels."""
    data = bytearray(encode(extension, picture()))
    if extension == '.png':
        data[16:24] = struct.pack('>II', 60000, 60000)
    else:
        frame = data.index(b'\xff\xc0')
        data[frame + 5:frame + 9] = struct.pack('>HH', 60000, 60000)
    return bytes(data)


@pytest.mark.parametrize('extension', ['.jpg', '.png'])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(extension: str) -> None:
    with pytest.raises(BadImage, match='at most .* found 60000x60000'):
        encodings.decode_compressed_color(message('', bomb(extension)))


@pytest.mark.parametrize(('format_', 'data', 'reason'), [
    ('jpeg', b'', 'expected a JPEG or PNG, found 0 bytes that begin with nothing'),
    ('tiff', b'II*\0' + bytes(50), 'set the publisher'),
    (DEPTH_PNG, jpeg(), "found depth .*remap 'image/compressed'"),
    ('16UC1; png compressed ', encode('.png', DEPTH_MM), 'found depth'),
    ('jpeg', [255, 216], 'expected data in a buffer of bytes, found list'),
    ('jpeg', b'\xff\xd8\xff' + b'\xff' * 5000 + b'\xff\xd9', 'truncated or corrupt'),
    ('jpeg', b'\xff\xd8' + b'\xff\xe0\0\x02' * 2000 + b'\xff\xd9', 'truncated or corrupt'),
    ('png', encode('.png', picture())[:60] + b'broken' + encode('.png', picture())[66:],
     'corrupt bytes'),
])
def test_bad_compressed_color_is_refused_with_a_reason(
    format_: str, data: Any, reason: str,
) -> None:
    with pytest.raises(BadImage, match=reason):
        encodings.decode_compressed_color(message(format_, data))


@pytest.mark.parametrize('format_', [DEPTH_PNG, '16UC1; compressedDepth', '16UC1',
                                     'mono16; compressedDepth png'])
def test_depth_png_is_millimetres(format_: str) -> None:
    data = NO_QUANTIZATION + encode('.png', DEPTH_MM)
    depth = encodings.decode_compressed_depth(message(format_, data))
    assert depth.dtype == np.float32
    assert np.array_equal(depth, DEPTH_M, equal_nan=True)


def test_depth_rvl_is_millimetres() -> None:
    depth = encodings.decode_compressed_depth(rvl_message(DEPTH_MM))
    assert np.array_equal(depth, DEPTH_M, equal_nan=True)


@pytest.mark.parametrize('transport', ['png', 'rvl'])
def test_float_depth_is_quantized_inverse_depth(transport: str) -> None:
    # As compressed_depth_image_transport quantizes, with its default limits.
    farthest, resolution = 10.0, 100.0
    a = resolution * (resolution + 1)
    b = 1 - a / farthest
    metres = np.linspace(0.3, 9.9, 24 * 32).reshape(24, 32)
    quantized = (a / metres + b).astype(np.uint16)
    quantized[5, 5] = 0
    header = struct.pack('<iff', 0, a, b)
    msg = rvl_message(quantized, header)
    if transport == 'png':
        msg = message('', header + encode('.png', quantized))
    msg.format = f'32FC1; compressedDepth {transport}'
    depth = encodings.decode_compressed_depth(msg)
    assert np.isnan(depth[5, 5])
    depth[5, 5] = metres[5, 5]
    # One step of the quantization is z * z / a.
    assert np.all(np.abs(depth - metres) <= metres ** 2 / a * 1.01)


def test_a_quantized_value_at_infinity_is_no_reading() -> None:
    quantized = np.array([[1, 2, 3]], np.uint16)
    data = struct.pack('<iff', 0, 1.0, 2.0) + encode('.png', quantized)
    depth = encodings.decode_compressed_depth(message('32FC1; compressedDepth png', data))
    assert np.array_equal(depth, np.array([[np.nan, np.nan, 1.0]], np.float32), equal_nan=True)


def test_depth_survives_the_way_there_and_back() -> None:
    msg = encodings.encode_compressed_depth(DEPTH_M)
    assert isinstance(msg.data, array)
    assert np.array_equal(encodings.decode_compressed_depth(msg), DEPTH_M, equal_nan=True)
    with pytest.raises(ValueError, match='expected float32'):
        encodings.encode_compressed_depth(DEPTH_M.astype(np.float64))  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 30), st.lists(st.integers(1, 65535), max_size=8)),
                min_size=1, max_size=12))
@example([(0, [65535, 1, 65535])])
@example([(1, [])])
@example([(30, []), (0, [7])])
def test_rvl_agrees_with_a_slow_encoder(runs: list[tuple[int, list[int]]]) -> None:
    values = [value for zeros, filled in runs for value in [0] * zeros + filled]
    stream = np.frombuffer(slow_rvl(values) or bytes(4), np.uint8)
    assert decode_rvl(stream, len(values)).tolist() == values


@pytest.mark.parametrize(('stream', 'pixels', 'reason'), [
    (b'', 4, 'truncated'),
    (b'\xff\xff\xff', 4, 'truncated'),
    (b'\xff' * 8, 4, 'truncated'),
    (b'\xff' * 8 + bytes(4), 4, 'at most 10 nibbles'),
    (slow_rvl([5] * 100)[:20], 100, 'truncated'),
    (slow_rvl([0] * 100), 99, 'corrupt or truncated'),
    (slow_rvl([0] * 99), 100, 'truncated'),
])
def test_bad_rvl_is_refused(stream: bytes, pixels: int, reason: str) -> None:
    with pytest.raises(BadImage, match=reason):
        decode_rvl(np.frombuffer(stream, np.uint8), pixels)


@pytest.mark.parametrize(('format_', 'data', 'reason'), [
    ('jpeg', jpeg(), "found 'jpeg'; remap 'depth/compressedDepth'"),
    ('rgb8; compressedDepth png', bytes(40), 'expected a format like'),
    ('16UC1; compressedDepth zstd', bytes(40), 'expected a format like'),
    (DEPTH_PNG, b'', 'expected a header of 12 bytes'),
    (DEPTH_PNG, NO_QUANTIZATION, 'expected a header of 12 bytes'),
    (DEPTH_PNG, encode('.png', DEPTH_MM), 'expected a PNG after the header of 12 bytes'),
    (DEPTH_PNG, NO_QUANTIZATION + encode('.png', DEPTH_MM)[:-20], 'truncated'),
    (DEPTH_PNG, NO_QUANTIZATION + encode('.png', picture()), 'one channel of 16 bits'),
    (DEPTH_PNG, NO_QUANTIZATION + bomb('.png'), 'at most'),
    ('32FC1; compressedDepth png', NO_QUANTIZATION + encode('.png', DEPTH_MM), 'quantization'),
    ('32FC1; compressedDepth png',
     struct.pack('<iff', 0, float('nan'), 0) + encode('.png', DEPTH_MM), 'quantization'),
    (DEPTH_RVL, NO_QUANTIZATION + bytes(4), 'size of the RVL image'),
    (DEPTH_RVL, NO_QUANTIZATION + struct.pack('<II', 0, 4), 'found 0x4'),
    (DEPTH_RVL, NO_QUANTIZATION + struct.pack('<II', 2**31, 2**31), 'at most'),
    (DEPTH_RVL, NO_QUANTIZATION + struct.pack('<II', 4, 4), 'truncated'),
    (DEPTH_RVL, NO_QUANTIZATION + struct.pack('<II', 4, 4) + bytes(1000), 'at most 4 bytes'),
])
def test_bad_compressed_depth_is_refused_with_a_reason(
    format_: str, data: Any, reason: str,
) -> None:
    with pytest.raises(BadImage, match=reason):
        encodings.decode_compressed_depth(message(format_, data))


SEEDS = [
    (JPEG, jpeg()), ('png', encode('.png', picture())),
    (DEPTH_PNG, NO_QUANTIZATION + encode('.png', DEPTH_MM)),
    (DEPTH_RVL, rvl_message(DEPTH_MM).data),
    ('32FC1; compressedDepth png', struct.pack('<iff', 0, 100, 2) + encode('.png', DEPTH_MM)),
    ('32FC1; compressedDepth rvl', rvl_message(DEPTH_MM, struct.pack('<iff', 0, 100, 2)).data),
]


def assert_only_bad_image(msg: SimpleNamespace) -> None:
    for check, decode in (
            (encodings.check_compressed_color, encodings.decode_compressed_color),
            (encodings.check_compressed_depth, encodings.decode_compressed_depth)):
        try:
            decode(msg)
        except BadImage:
            continue
        check(msg)


@settings(max_examples=400)
@given(st.sampled_from(SEEDS), st.data())
def test_damaged_messages_raise_only_bad_image(
    seed: tuple[str, bytes], data: st.DataObject,
) -> None:
    damaged = bytearray(seed[1])
    for _ in range(data.draw(st.integers(1, 5))):
        # The headers are at the beginning, where damage is the most interesting.
        place = data.draw(st.integers(0, len(damaged) - 1) | st.integers(0, 40))
        damaged[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))):]
    assert_only_bad_image(message(seed[0], bytes(damaged)))


@given(st.sampled_from([format_ for format_, _ in SEEDS]) | st.text(max_size=30),
       st.sampled_from([b'', NO_QUANTIZATION, NO_QUANTIZATION + struct.pack('<II', 3, 3),
                        b'\xff\xd8\xff\xda', b'\x89PNG\r\n\x1a\n']),
       st.binary(max_size=200))
def test_garbage_raises_only_bad_image(format_: str, start: bytes, rest: bytes) -> None:
    assert_only_bad_image(message(format_, start + rest))


@pytest.mark.skipif('EDGEVL_TEST_DATA' not in os.environ, reason='EDGEVL_TEST_DATA is not set')
def test_a_real_bag_of_compressed_images_decodes() -> None:
    highlevel = pytest.importorskip('rosbags.highlevel', reason='rosbags is not installed')
    images = 0
    bag = Path(os.environ['EDGEVL_TEST_DATA']) / 'bags' / 'nyu_tour'
    with highlevel.AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            if connection.msgtype != 'sensor_msgs/msg/CompressedImage':
                continue
            images += 1
            msg = reader.deserialize(data, connection.msgtype)
            if 'compressedDepth' in msg.format:
                depth = encodings.decode_compressed_depth(msg)
                assert depth.shape == (480, 640) and depth.dtype == np.float32
                assert 0.2 < np.nanmin(depth) < np.nanmedian(depth) < np.nanmax(depth) < 12
            else:
                rgb = encodings.decode_compressed_color(msg)
                assert rgb.shape == (480, 640, 3)
                assert 5 < rgb.mean() < 250
    assert images == 200
