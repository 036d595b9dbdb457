# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The overlay is drawn on a copy, on colour or depth of any size."""

from edgevl_ros.core.frame import Frame, Modality
from edgevl_ros.core.scene import Hypothesis, Scene
from edgevl_ros.nodes.overlay import draw
import numpy as np
import pytest

SCENE = Scene(
    stamp_ns=0,
    frame_id='camera',
    hypotheses=(Hypothesis('kitchen', 0.7, 0.5), Hypothesis('Küche', 0.3, 0.4)),
    label='kitchen',
    modalities=(Modality.RGB,),
)


@pytest.mark.parametrize('size', [(480, 640), (48, 64), (2, 2), (2000, 16), (16, 2000)])
def test_colour_of_any_size_is_drawn_on_without_being_changed(size):
    rgb = np.full((*size, 3), 90, np.uint8)
    rgb.flags.writeable = False
    picture = draw(Frame(0, 'camera', rgb), SCENE)
    assert picture.dtype == np.uint8
    assert picture.shape[1] >= 320
    assert (rgb == 90).all()


def test_the_bar_is_as_long_as_the_probability_and_text_is_white():
    picture = draw(Frame(0, 'camera', np.zeros((480, 640, 3), np.uint8)), SCENE)
    blue = np.all(picture == (70, 150, 255), axis=2)
    rows = np.flatnonzero(blue.sum(axis=1) > 20)
    lengths = {int(blue[row].sum()) for row in rows}
    assert max(lengths) == pytest.approx(0.7 * 0.3 * 640, abs=2)
    assert min(lengths) == pytest.approx(0.3 * 0.3 * 640, abs=2)
    assert picture.max() == 255


def test_depth_alone_is_shown_in_colours_and_holes_stay_black():
    depth = np.linspace(0.5, 5, 480 * 640, dtype=np.float32).reshape(480, 640)
    depth[300:] = np.nan
    picture = draw(Frame(0, 'camera', depth=depth), SCENE)
    assert picture[200:300].std() > 10
    assert (picture[300:] == 0).all()


def test_depth_without_any_reading_is_drawn_too():
    draw(Frame(0, 'camera', depth=np.full((48, 64), np.nan, np.float32)), SCENE)
