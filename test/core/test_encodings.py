# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of raw image messages to arrays and back."""

from __future__ import annotations

from array import array
import os
from pathlib import Path
import struct
from types import SimpleNamespace
from typing import Any

from edgevl_ros.core import encodings
from edgevl_ros.core.errors import BadImage
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

settings.register_profile('encodings', deadline=None)
settings.load_profile('encodings')

CHANNEL_ORDER = {  # where red, green and blue are in a pixel
    'rgb8': (0, 1, 2), 'bgr8': (2, 1, 0), '8UC3': (2, 1, 0), 'rgba8': (0, 1, 2),
    'bgra8': (2, 1, 0), 'mono8': (0, 0, 0), '8UC1': (0, 0, 0),
}
PIXEL_BYTES = {
    'rgb8': 3, 'bgr8': 3, '8UC3': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1, '8UC1': 1, 'mono16': 2,
    'yuv422': 2, 'uyvy': 2, 'yuv422_yuy2': 2, 'yuyv': 2, 'bayer_rggb8': 1, 'bayer_bggr8': 1,
    'bayer_gbrg8': 1, 'bayer_grbg8': 1, '16UC1': 2, '32FC1': 4,
}
YUV = {  # offsets of Y0, U, Y1, V in two pixels
    'yuv422': (1, 0, 3, 2), 'uyvy': (1, 0, 3, 2), 'yuv422_yuy2': (0, 1, 2, 3),
    'yuyv': (0, 1, 2, 3),
}
BAYER = {name: name[6:10] for name in PIXEL_BYTES if name.startswith('bayer')}
CONTAINERS = {
    'bytes': bytes,
    'bytearray': bytearray,
    'memoryview': memoryview,
    'array': lambda data: array('B', data),
    'numpy': lambda data: np.frombuffer(data, np.uint8),
}


def message(
    encoding: str, width: int, height: int, data: Any, step: int | None = None,
    is_bigendian: int = 0,
) -> SimpleNamespace:
    return SimpleNamespace(
        encoding=encoding, width=width, height=height, data=data, is_bigendian=is_bigendian,
        step=width * PIXEL_BYTES.get(encoding, 1) if step is None else step)


@st.composite
def raw_messages(draw: st.DrawFn, names: list[str]) -> tuple[SimpleNamespace, list[bytes]]:
    """Draw a message and, apart from it, its rows without padding."""
    encoding = draw(st.sampled_from(names))
    least = 3 if encoding in BAYER else 1
    width = draw(st.integers(least, 9)) * (2 if encoding in YUV else 1)
    height = draw(st.integers(least, 7))
    row = width * PIXEL_BYTES[encoding]
    rows = [draw(st.binary(min_size=row, max_size=row)) for _ in range(height)]
    padding = draw(st.sampled_from([0, 0, 1, 2, 5, 64]))
    filler = bytes([draw(st.integers(0, 255))]) * padding
    data = filler.join(rows) + (filler if draw(st.booleans()) else b'')
    container = CONTAINERS[draw(st.sampled_from(list(CONTAINERS)))]
    return message(encoding, width, height, container(data), row + padding,
                   draw(st.sampled_from([0, 1]))), rows


def numbers(rows: list[bytes], code: str, is_bigendian: int) -> np.ndarray[Any, Any]:
    """Read rows of numbers one by one."""
    size = struct.calcsize(code)
    order = '>' if is_bigendian else '<'
    return np.array([[struct.unpack(order + code, row[i:i + size])[0]
                      for i in range(0, len(row), size)] for row in rows])


@given(raw_messages(list(CHANNEL_ORDER)))
def test_color_channels_are_put_in_order(drawn: tuple[SimpleNamespace, list[bytes]]) -> None:
    msg, rows = drawn
    size = PIXEL_BYTES[msg.encoding]
    expected = [[[row[x * size + c] for c in CHANNEL_ORDER[msg.encoding]]
                 for x in range(msg.width)] for row in rows]
    rgb = encodings.decode_color(msg)
    assert rgb.dtype == np.uint8
    assert rgb.tolist() == expected


@given(raw_messages(['mono16']))
def test_mono16_is_scaled_to_8_bits(drawn: tuple[SimpleNamespace, list[bytes]]) -> None:
    msg, rows = drawn
    expected = np.rint(numbers(rows, 'H', msg.is_bigendian) / 257)
    rgb = encodings.decode_color(msg)
    assert rgb.shape == (msg.height, msg.width, 3)
    assert all(np.array_equal(rgb[..., channel], expected) for channel in range(3))


@given(raw_messages(list(YUV)))
def test_yuv_follows_bt601(drawn: tuple[SimpleNamespace, list[bytes]]) -> None:
    msg, rows = drawn
    y0, u, y1, v = YUV[msg.encoding]
    expected = np.zeros((msg.height, msg.width, 3))
    for y, row in enumerate(rows):
        for x in range(0, msg.width, 2):
            pair = row[2 * x:2 * x + 4]
            for offset, luma in enumerate((pair[y0], pair[y1])):
                light = 1.164 * (max(luma, 16) - 16)
                blue, red = pair[u] - 128, pair[v] - 128
                expected[y, x + offset] = (
                    light + 1.596 * red, light - 0.813 * red - 0.391 * blue, light + 2.018 * blue)
    rgb = encodings.decode_color(msg)
    # OpenCV computes in integers.
    assert np.abs(rgb - np.clip(expected, 0, 255)).max() <= 2


@given(raw_messages(list(BAYER)))
def test_bayer_keeps_each_measured_color(drawn: tuple[SimpleNamespace, list[bytes]]) -> None:
    msg, rows = drawn
    pattern = BAYER[msg.encoding]
    rgb = encodings.decode_color(msg)
    for y in range(1, msg.height - 1):
        for x in range(1, msg.width - 1):
            color = 'rgb'.index(pattern[2 * (y % 2) + x % 2])
            assert rgb[y, x, color] == rows[y][x]


@pytest.mark.parametrize('encoding', list(BAYER))
def test_bayer_of_one_color_gives_that_color(encoding: str) -> None:
    color = {'r': 200, 'g': 100, 'b': 30}
    data = bytes(color[BAYER[encoding][2 * (y % 2) + x % 2]] for y in range(8) for x in range(6))
    rgb = encodings.decode_color(message(encoding, 6, 8, data))
    assert np.all(rgb == [200, 100, 30])


@given(raw_messages(['16UC1', 'mono16']))
def test_16_bit_depth_is_millimetres(drawn: tuple[SimpleNamespace, list[bytes]]) -> None:
    msg, rows = drawn
    mm = numbers(rows, 'H', msg.is_bigendian)
    expected = np.where((mm == 0) | (mm == 65535), np.nan, mm / 1000).astype(np.float32)
    depth = encodings.decode_depth(msg)
    assert depth.dtype == np.float32
    assert np.array_equal(depth, expected, equal_nan=True)


def test_every_16_bit_depth() -> None:
    mm = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    depth = encodings.decode_depth(message('16UC1', 256, 256, mm.tobytes()))
    expected = (mm / 1000).astype(np.float32)
    assert np.isnan(depth[0, 0]) and np.isnan(depth[255, 255])
    assert np.array_equal(depth.flat[1:-1], expected.flat[1:-1])


@given(raw_messages(['32FC1']))
def test_float_depth_is_metres(drawn: tuple[SimpleNamespace, list[bytes]]) -> None:
    msg, rows = drawn
    with np.errstate(invalid='ignore'):
        metres = numbers(rows, 'f', msg.is_bigendian).astype(np.float32)
    usable = np.array([[0 < value < float('inf') for value in row] for row in metres.tolist()])
    depth = encodings.decode_depth(msg)
    assert depth.dtype == np.float32 and depth.dtype.isnative and depth.flags.aligned
    assert np.array_equal(depth, np.where(usable, metres, np.nan), equal_nan=True)


def test_float_depth_without_reading_is_nan() -> None:
    values = np.array([[1.5, np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0]], np.float32)
    depth = encodings.decode_depth(message('32FC1', 7, 1, values.tobytes()))
    assert depth[0, 0] == 1.5
    assert np.isnan(depth[0, 1:]).all()


@pytest.mark.parametrize('container', list(CONTAINERS))
def test_rgb8_is_not_copied(container: str) -> None:
    data = CONTAINERS[container](bytes(range(60)))
    for step in (12, 15):
        rgb = encodings.decode_color(message('rgb8', 4, 4, data, step))
        assert np.shares_memory(rgb, np.frombuffer(data, np.uint8))
        assert not rgb.flags.writeable


def test_clean_float_depth_is_not_copied() -> None:
    data = array('B', np.array([[1.0, np.nan], [2.0, 3.0]], np.float32).tobytes())
    depth = encodings.decode_depth(message('32FC1', 2, 2, data))
    assert np.shares_memory(depth, np.frombuffer(data, np.uint8))
    assert not depth.flags.writeable


def packed(encoding: str) -> SimpleNamespace:
    size = 8 * 6 * PIXEL_BYTES[encoding]
    rng = np.random.default_rng(7)
    if encoding == '32FC1':
        return message(encoding, 8, 6, rng.random(48, np.float32).tobytes())
    return message(encoding, 8, 6, rng.integers(0, 256, size, np.uint8).tobytes())


def test_one_of_the_libraries_unpacks() -> None:
    pytest.importorskip('rosbags.image', reason='rosbags-image is not installed')
    assert encodings.installed_unpack() in (
        encodings.unpack_with_cv_bridge, encodings.unpack_with_rosbags)


@pytest.mark.parametrize('encoding', list(PIXEL_BYTES))
@pytest.mark.parametrize(('module', 'unpack'), [
    ('rosbags.image', encodings.unpack_with_rosbags),
    ('cv_bridge', encodings.unpack_with_cv_bridge)])
def test_the_libraries_unpack_alike_and_copy_nothing(
    module: str, unpack: encodings.Unpack, encoding: str,
) -> None:
    pytest.importorskip(module, reason=f'{module} is not installed')
    if encoding in ('uyvy', 'yuyv') and module == 'cv_bridge':
        pytest.skip('these names are newer than the cv_bridge of ROS 2 Humble')
    msg = packed(encoding)
    pixels = unpack(msg)
    expected = encodings.unpack_with_numpy(msg)
    assert pixels.dtype == expected.dtype
    assert np.array_equal(pixels, expected)
    assert np.shares_memory(pixels, expected)


@pytest.mark.parametrize('encoding', [*CHANNEL_ORDER, *YUV, *BAYER])
def test_colors_agree_with_rosbags(encoding: str) -> None:
    image = pytest.importorskip('rosbags.image', reason='rosbags-image is not installed')
    if encoding.startswith('8U'):
        pytest.skip('rosbags gives 8UC1 and 8UC3 no colours')
    msg = packed(encoding)
    assert np.array_equal(encodings.decode_color(msg), image.message_to_cvimage(msg, 'rgb8'))


@pytest.mark.parametrize(('changes', 'reason'), [
    ({'encoding': 'h264'}, "expected one of rgb8, .*found 'h264'"),
    ({'encoding': ''}, "found ''"),
    ({'encoding': '16UC1', 'step': 8}, "which is depth; remap 'image'"),
    ({'width': 0}, 'found 0x4'),
    ({'height': 0}, 'found 4x0'),
    ({'width': 0, 'height': 0, 'step': 0, 'data': b''}, 'found 0x0'),
    ({'width': 20000, 'step': 60000}, 'at most 16384 pixels a side'),
    ({'width': 16384, 'height': 16384, 'step': 49152}, 'at most .* in all'),
    ({'step': 11}, 'step of at least 12 bytes for 4 pixels .*found 11'),
    ({'step': 2**40}, 'truncated'),
    ({'data': bytes(47)}, 'expected 48 bytes for 4x4 .*found 47; the message is truncated'),
    ({'data': b''}, 'found 0'),
    ({'data': [1, 2, 3]}, 'expected data in a buffer of bytes, found list'),
    ({'encoding': 'yuv422', 'width': 3}, 'even width.*found 3'),
    ({'encoding': 'bayer_rggb8', 'height': 2}, 'at least 3x3 pixels, found 4x2'),
])
def test_bad_color_is_refused_with_a_reason(changes: dict[str, Any], reason: str) -> None:
    msg = SimpleNamespace(**{**vars(message('rgb8', 4, 4, bytes(48))), **changes})
    for function in (encodings.check_color, encodings.decode_color):
        with pytest.raises(BadImage, match=reason):
            function(msg)


@pytest.mark.parametrize(('changes', 'reason'), [
    ({'encoding': 'rgb8', 'step': 12}, "which is colour; remap 'depth'"),
    ({'encoding': 'mono8'}, "which is colour; remap 'depth'"),
    ({'encoding': '64FC1'}, 'expected one of 16UC1, mono16, 32FC1'),
    ({'data': bytes(31)}, 'truncated'),
])
def test_bad_depth_is_refused_with_a_reason(changes: dict[str, Any], reason: str) -> None:
    msg = SimpleNamespace(**{**vars(message('16UC1', 4, 4, bytes(32))), **changes})
    for function in (encodings.check_depth, encodings.decode_depth):
        with pytest.raises(BadImage, match=reason):
            function(msg)


@given(
    st.one_of(st.sampled_from(list(PIXEL_BYTES)), st.text(max_size=12)),
    st.integers(0, 2**32 - 1) | st.integers(0, 9), st.integers(0, 2**32 - 1) | st.integers(0, 9),
    st.integers(0, 2**32 - 1) | st.integers(0, 40), st.integers(0, 255),
    st.binary(max_size=400))
def test_arbitrary_messages_raise_only_bad_image(
    encoding: str, width: int, height: int, step: int, is_bigendian: int, data: bytes,
) -> None:
    msg = message(encoding, width, height, data, step, is_bigendian)
    for check, decode in ((encodings.check_color, encodings.decode_color),
                          (encodings.check_depth, encodings.decode_depth)):
        try:
            check(msg)
        except BadImage:
            with pytest.raises(BadImage):
                decode(msg)
        else:
            assert decode(msg).shape[:2] == (height, width)


@given(st.integers(2, 8), st.integers(2, 8), st.sampled_from(['rgb8', 'bgr8']), st.data())
def test_color_survives_the_way_there_and_back(
    width: int, height: int, encoding: str, data: st.DataObject,
) -> None:
    raw = data.draw(st.binary(min_size=3 * width * height, max_size=3 * width * height))
    rgb = np.frombuffer(raw, np.uint8).reshape(height, width, 3)
    msg = encodings.encode_color(rgb, encoding)
    assert (msg.encoding, msg.step, len(msg.data)) == (encoding, 3 * width, 3 * width * height)
    assert isinstance(msg.data, array)
    assert np.array_equal(encodings.decode_color(msg), rgb)


@pytest.mark.parametrize(('encoding', 'tolerance'), [('16UC1', 0.000501), ('32FC1', 0.0)])
def test_depth_survives_the_way_there_and_back(encoding: str, tolerance: float) -> None:
    depth = np.random.default_rng(0).uniform(0.1, 60, (5, 7)).astype(np.float32)
    depth[1, 2] = np.nan
    back = encodings.decode_depth(encodings.encode_depth(depth, encoding))
    np.testing.assert_allclose(back, depth, atol=tolerance, rtol=0)


def test_depth_that_millimetres_cannot_hold_becomes_no_reading() -> None:
    depth = np.array([[np.nan, np.inf, -np.inf, -1, 0, 0.0004, 65.535, 1e30, 65.534]], np.float32)
    msg = encodings.encode_depth(depth)
    assert np.frombuffer(msg.data, np.uint16).tolist() == [0] * 8 + [65534]


def test_what_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(ValueError, match='expected uint8'):
        encodings.encode_color(np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match="found 'mono8'"):
        encodings.encode_color(np.zeros((2, 2, 3), np.uint8), 'mono8')
    with pytest.raises(ValueError, match='expected float32'):
        encodings.encode_depth(np.zeros((2, 2), np.uint16))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="found 'rgb8'"):
        encodings.encode_depth(np.zeros((2, 2), np.float32), 'rgb8')


@pytest.mark.skipif('EDGEVL_TEST_DATA' not in os.environ, reason='EDGEVL_TEST_DATA is not set')
def test_a_real_bag_of_raw_images_decodes() -> None:
    highlevel = pytest.importorskip('rosbags.highlevel', reason='rosbags is not installed')
    holes = images = 0
    bag = Path(os.environ['EDGEVL_TEST_DATA']) / 'bags' / 'redkitchen_raw'
    with highlevel.AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            if connection.msgtype != 'sensor_msgs/msg/Image':
                continue
            images += 1
            msg = reader.deserialize(data, connection.msgtype)
            if msg.encoding == 'rgb8':
                rgb = encodings.decode_color(msg)
                assert rgb.shape == (480, 640, 3) and 20 < rgb.mean() < 235
                assert np.shares_memory(rgb, msg.data)
                continue
            depth = encodings.decode_depth(msg)
            mm = msg.data.view(np.uint16).reshape(480, 640)
            holes += np.count_nonzero(mm == 0)
            assert np.array_equal(np.isnan(depth), (mm == 0) | (mm == 65535))
            assert 0.3 < np.nanmin(depth) < np.nanmedian(depth) < np.nanmax(depth) < 20
    assert images == 14
    assert holes > 0
