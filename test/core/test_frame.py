# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames refuse what no later step could use."""

from edgevl_ros.core.frame import Frame, Modality
import numpy as np
import pytest

RGB = np.zeros((4, 6, 3), np.uint8)
DEPTH = np.ones((4, 6), np.float32)


def test_a_frame_names_its_modalities_colour_first():
    assert Frame(1, 'camera', RGB, DEPTH).modalities == (Modality.RGB, Modality.DEPTH)
    assert Frame(1, 'camera', depth=DEPTH).modalities == (Modality.DEPTH,)


def test_colour_and_depth_may_differ_in_size():
    Frame(1, 'camera', RGB, np.ones((2, 3), np.float32))


@pytest.mark.parametrize(
    ('images', 'complaint'),
    [
        ({}, 'found neither'),
        ({'rgb': RGB.astype(np.float32)}, 'uint8'),
        ({'rgb': RGB[..., :2]}, '3 channels'),
        ({'rgb': RGB[:0]}, 'non-empty'),
        ({'depth': DEPTH.astype(np.float64)}, 'float32'),
        ({'depth': DEPTH[..., None]}, '2 axes'),
    ],
)
def test_unusable_images_are_refused_with_what_was_found(images, complaint):
    with pytest.raises(ValueError, match=complaint):
        Frame(1, 'camera', **images)
