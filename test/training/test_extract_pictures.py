# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures are proven readable, measured and stored as they were wherever that is possible."""
from __future__ import annotations

import cv2
from edgevl_ros.core.errors import BadImage
from edgevl_training.dataset import SecondModality
from edgevl_training.pictures import (
    hamming_distance,
    prepare_color,
    prepare_depth,
)
from edgevl_training.sources.source import EncodedPicture, LatePicture, PlainPicture
import numpy as np
import pytest
from support.camera_bag import jpeg, millimetres, picture, png

DEPTH = SecondModality()


def color(data: bytes):
    """Prepare what was recorded compressed."""
    return prepare_color(EncodedPicture(data, ''), 'jpeg', 95)


@pytest.mark.parametrize('encode', [jpeg, lambda rgb: png(rgb[..., ::-1])], ids=['jpeg', 'png'])
def test_compressed_colour_is_kept_byte_for_byte(encode):
    data = encode(picture(1, 640, 480))
    prepared = color(data)
    assert prepared.data == data
    assert (prepared.width, prepared.height) == (640, 480)
    assert prepared.format == ('png' if data.startswith(b'\x89PNG') else 'jpeg')


@pytest.mark.parametrize('color_format', ['jpeg', 'png'])
def test_plain_colour_is_encoded_in_the_right_order_of_channels(color_format):
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[:, :32] = (250, 10, 20)
    prepared = prepare_color(PlainPicture(rgb), color_format, 95)
    assert prepared.format == color_format
    bgr = cv2.imdecode(np.frombuffer(prepared.data, np.uint8), cv2.IMREAD_COLOR)
    assert np.allclose(bgr[10, 10], (20, 10, 250), atol=6)
    assert np.array_equal(bgr[..., ::-1], rgb) or color_format == 'jpeg'


@pytest.mark.parametrize('width', [320, 640, 1280, 2000, 64])
def test_measures_of_a_jpeg_do_not_depend_on_how_it_was_decoded(width):
    rgb = picture(3, width, width * 3 // 4)
    reduced, plain = color(jpeg(rgb)), prepare_color(PlainPicture(rgb), 'jpeg', 95)
    assert reduced.sharpness == pytest.approx(plain.sharpness, rel=0.25)
    assert hamming_distance(reduced.perceptual_hash, plain.perceptual_hash) <= 4


def test_blur_lowers_sharpness_and_hardly_moves_the_hash():
    rgb = picture(4, 640, 480)
    sharp, blurred = color(jpeg(rgb)), color(jpeg(cv2.GaussianBlur(rgb, (0, 0), 6)))
    assert blurred.sharpness < sharp.sharpness / 10
    assert hamming_distance(sharp.perceptual_hash, blurred.perceptual_hash) <= 6


def test_other_scenes_have_other_hashes():
    hashes = [color(jpeg(picture(seed, 640, 480))).perceptual_hash for seed in range(8)]
    assert min(hamming_distance(a, b) for a in hashes for b in hashes if a != b) > 10
    assert all(-2**63 <= value < 2**63 for value in hashes)


def test_hamming_distance_of_signed_hashes():
    assert hamming_distance(-1, 0) == 64
    assert hamming_distance(-1, -2) == 1
    assert hamming_distance(5, 5) == 0


def exif_turned(data: bytes) -> bytes:
    """Put an EXIF orientation of a quarter turn into a JPEG."""
    tiff = b'II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0'
    body = b'Exif\0\0' + tiff
    return data[:2] + b'\xff\xe1' + (len(body) + 2).to_bytes(2, 'big') + body + data[2:]


def test_size_is_that_of_the_decoded_picture_where_exif_turns_it():
    prepared = color(exif_turned(jpeg(picture(1, 640, 480))))
    assert (prepared.width, prepared.height) == (480, 640)


JPEG = jpeg(picture(5, 640, 480))


@pytest.mark.parametrize('data', [
    b'', b'\xff\xd8\xff', JPEG[:200], JPEG[:len(JPEG) // 2], b'\0' * 500,
    JPEG[:200] + b'\xff\xd9', png(picture(5))[:300],
])
def test_damaged_colour_is_refused(data):
    with pytest.raises(BadImage):
        color(data)


def test_recorded_depth_is_kept_byte_for_byte():
    data = png(millimetres(1))
    prepared = prepare_depth(EncodedPicture(data, 'png'), DEPTH)
    assert prepared.data == data
    assert (prepared.width, prepared.height) == (64, 48)
    assert prepared.coverage == pytest.approx(1 - 4 / 48)


def test_saturated_depth_becomes_no_reading():
    depth = millimetres(1)
    depth[-4:] = 65535
    prepared = prepare_depth(EncodedPicture(png(depth), 'png'), DEPTH)
    stored = cv2.imdecode(np.frombuffer(prepared.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    assert np.array_equal(stored, np.where(depth == 65535, 0, depth))
    assert prepared.coverage == pytest.approx(1 - 8 / 48)


@pytest.mark.parametrize('missing', [(0,), (0, 65535), (0, 7), ()])
@pytest.mark.parametrize('scale', [0.001, 1 / 5000, 0.01, 0.25])
def test_depth_of_any_unit_becomes_millimetres(scale, missing):
    depth = np.random.default_rng(0).integers(0, 2**16, (48, 64)).astype(np.uint16)
    depth[0, :3] = (0, 7, 65535)
    prepared = prepare_depth(PlainPicture(depth), SecondModality('depth', 'm', scale, missing))
    stored = cv2.imdecode(np.frombuffer(prepared.data, np.uint8), cv2.IMREAD_UNCHANGED)
    expected = np.minimum(np.rint(depth * (scale * 1000)), 65534)
    expected[np.isin(depth, missing)] = 0
    assert np.array_equal(stored, expected)
    assert prepared.coverage == np.mean(expected > 0)


def test_plain_depth_is_stored_without_loss():
    depth = millimetres(2)
    stored = prepare_depth(PlainPicture(depth), DEPTH).data
    assert np.array_equal(cv2.imdecode(np.frombuffer(stored, np.uint8), -1), depth)


def test_counts_of_other_modalities_are_all_readings_and_become_16_bit():
    swir = picture(1)[..., 0].copy()
    swir[0] = 0
    prepared = prepare_depth(
        EncodedPicture(png(swir), 'png'), SecondModality('swir', 'full scale', 1 / 255, ())
    )
    stored = cv2.imdecode(np.frombuffer(prepared.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16 and np.array_equal(stored, swir)
    assert prepared.coverage == 1.0


@pytest.mark.parametrize('picture', [
    PlainPicture(np.zeros((4, 4), np.uint16)),
    PlainPicture(np.full((4, 4), 65535, np.uint16)),
    PlainPicture(np.zeros((0, 4), np.uint16)),
    EncodedPicture(png(millimetres(1))[:200], 'png'),
    EncodedPicture(png(picture(1)), 'png'),
    EncodedPicture(b'no picture', 'png'),
])
def test_unusable_depth_is_refused(picture):
    with pytest.raises(BadImage):
        prepare_depth(picture, DEPTH)


def test_late_pictures_are_loaded_when_they_are_prepared():
    loaded = []

    def load() -> PlainPicture:
        loaded.append(1)
        return PlainPicture(picture(1))

    late = LatePicture(load)
    assert not loaded
    prepare_color(late, 'png', 95)
    assert loaded == [1]
