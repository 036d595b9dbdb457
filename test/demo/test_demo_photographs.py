# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The photographs come from the installed package, one with plausible metric depth."""

from demo.photographs import (
    BASELINE_MM,
    depth_from_disparity,
    FOCAL_LENGTH_PX,
    load_photographs,
    PRINCIPAL_POINT_OFFSET_PX,
)
import numpy as np
import pytest

pytest.importorskip('skimage', reason='the photographs are those of scikit-image')


def test_every_photograph_is_a_colour_image():
    photographs = load_photographs()
    assert len({photograph.name for photograph in photographs}) == len(photographs) >= 5
    for photograph in photographs:
        assert photograph.rgb.dtype == np.uint8
        assert photograph.rgb.ndim == 3
        assert photograph.rgb.shape[2] == 3
        assert photograph.rgb.std() > 10


def test_the_motorcycle_stands_in_a_garage():
    motorcycle = next(x for x in load_photographs() if x.name == 'motorcycle')
    depth = motorcycle.depth_mm
    assert depth.dtype == np.uint16
    assert depth.shape == motorcycle.rgb.shape[:2]
    assert 0.8 < np.mean(depth > 0) < 1
    assert 2000 < depth[depth > 0].min() < depth.max() < 5100
    # The fuel tank is nearer than the door behind it.
    tank, door = depth[190:220, 350:400], depth[20:80, 160:230]
    assert np.median(tank[tank > 0]) + 1000 < np.median(door[door > 0])


def test_depth_follows_from_the_calibration():
    disparity = np.array([[10.0, np.inf, np.nan]])
    expected = FOCAL_LENGTH_PX * BASELINE_MM / (10 + PRINCIPAL_POINT_OFFSET_PX)
    assert depth_from_disparity(disparity).tolist() == [[round(expected), 0, 0]]
