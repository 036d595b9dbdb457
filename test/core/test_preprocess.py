# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pixels a network reads, held to arithmetic done by hand."""

from dataclasses import replace

from edgevl_ros.core.frame import Frame, Modality
from edgevl_ros.core.preprocess import (
    ColorSpec,
    DepthSpec,
    model_input,
    PreprocessSpec,
    ResizeSpec,
)
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
import yaml

SPEC = PreprocessSpec(
    input_size=32,
    resize=ResizeSpec('shortest_side', 32),
    rgb=ColorSpec((0.4, 0.5, 0.6), (0.2, 0.25, 0.5)),
    depth=DepthSpec(near_m=0.5, far_m=8.5, missing=0.25, mean=0.5, std=0.25),
)


def test_colour_is_scaled_and_normalised_channel_by_channel():
    rgb = np.full((64, 64, 3), (255, 0, 51), np.uint8)
    tensor = SPEC.rgb_input(rgb)
    assert tensor.shape == (3, 32, 32)
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor[0], (1.0 - 0.4) / 0.2, rtol=1e-5)
    np.testing.assert_allclose(tensor[1], (0.0 - 0.5) / 0.25, rtol=1e-5)
    np.testing.assert_allclose(tensor[2], (0.2 - 0.6) / 0.5, rtol=1e-5)


def test_depth_is_clipped_scaled_and_repeated_on_three_channels():
    depth = np.array([[0.1, 0.5], [4.5, 50.0]], np.float32).repeat(32, 0).repeat(32, 1)
    tensor = SPEC.depth_input(depth)
    assert tensor.shape == (3, 32, 32)
    np.testing.assert_array_equal(tensor[0], tensor[1])
    np.testing.assert_array_equal(tensor[0], tensor[2])
    corners = tensor[0][[0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_allclose(corners, [-2.0, -2.0, 0.0, 2.0], atol=1e-5)


def test_missing_depth_takes_its_own_value_and_does_not_pull_its_neighbours():
    depth = np.full((64, 64), 4.5, np.float32)
    depth[:, ::2] = np.nan
    np.testing.assert_allclose(SPEC.depth_input(depth), 0.0, atol=1e-5)
    depth[:] = np.nan
    np.testing.assert_allclose(SPEC.depth_input(depth), (0.25 - 0.5) / 0.25, atol=1e-5)


def test_infinite_depth_is_no_reading():
    depth = np.full((64, 64), np.inf, np.float32)
    np.testing.assert_allclose(SPEC.depth_input(depth), -1.0, atol=1e-5)


def test_the_shortest_side_keeps_the_centre_and_squash_keeps_all():
    rgb = np.zeros((64, 192, 3), np.uint8)
    rgb[:, :64] = 255
    assert SPEC.rgb_input(rgb)[0].max() == pytest.approx(-2.0)
    squash = replace(SPEC, resize=ResizeSpec('squash', 32))
    assert squash.rgb_input(rgb)[0, :, 0].min() == pytest.approx(3.0)


@settings(max_examples=60, deadline=None)
@given(
    # The Python binding of OpenCV 4.5 refuses a single pixel of three channels.
    height=st.integers(2, 90),
    width=st.integers(2, 90),
    mode=st.sampled_from(['shortest_side', 'squash']),
    size=st.integers(32, 48),
    seed=st.integers(0, 9),
)
def test_any_size_gives_finite_input_within_range(height, width, mode, size, seed):
    spec = replace(SPEC, resize=ResizeSpec(mode, size))
    random = np.random.default_rng(seed)
    rgb = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    depth = random.uniform(0, 12, (height, width)).astype(np.float32)
    depth[random.random((height, width)) < 0.3] = np.nan
    batch = model_input(spec, Frame(0, '', rgb, depth), [Modality.DEPTH, Modality.RGB])
    assert batch.shape == (2, 3, 32, 32)
    assert np.isfinite(batch).all()
    assert batch[0].min() >= -2 - 1e-5
    assert batch[0].max() <= 2 + 1e-5
    assert batch[1].min() >= -2 - 1e-5


def test_the_frame_is_not_changed():
    depth = np.full((40, 40), np.nan, np.float32)
    depth.flags.writeable = False
    SPEC.depth_input(depth)


def test_a_missing_modality_is_named():
    with pytest.raises(ValueError, match='no depth'):
        model_input(SPEC, Frame(5, '', np.zeros((8, 8, 3), np.uint8)), [Modality.DEPTH])
    with pytest.raises(ValueError, match='at least one modality'):
        model_input(SPEC, Frame(5, '', np.zeros((8, 8, 3), np.uint8)), [])


def test_a_spec_survives_its_file():
    assert PreprocessSpec.from_yaml(SPEC.to_yaml()) == SPEC


@pytest.mark.parametrize(
    ('change', 'complaint'),
    [
        ({'schema': 2}, 'schema: expected 1'),
        ({'input_size': 'big'}, 'input_size: expected an integer'),
        ({'input_size': 8}, 'input_size: expected an integer in 16'),
        ({'resize': {'mode': 'stretch', 'size': 32, 'interpolation': 'area'}}, 'resize.mode'),
        ({'resize': {'mode': 'squash', 'size': 32, 'interpolation': 'cubic'}}, 'interpolation'),
        ({'resize': {'mode': 'shortest_side', 'size': 16, 'interpolation': 'area'}}, 'at least'),
        ({'resize': {'mode': 'squash'}}, 'resize: expected the keys'),
        ({'rgb': {'mean': [0, 0, 0], 'std': [0, 1, 1]}}, 'rgb.std'),
        ({'rgb': {'mean': [0, 0], 'std': [1, 1, 1]}}, 'rgb.mean'),
        ({'depth': None}, 'depth: expected the keys'),
        ({'extra': 1}, 'the document: expected the keys'),
    ],
)
def test_a_bad_file_is_refused_by_field(change, complaint):
    document = {**yaml.safe_load(SPEC.to_yaml()), **change}
    with pytest.raises(ValueError, match=complaint):
        PreprocessSpec.from_yaml(yaml.safe_dump(document))


@pytest.mark.parametrize('text', ['', '- 1', '{', '!!python/object:os.system {}'])
def test_what_is_no_spec_is_refused(text):
    with pytest.raises(ValueError, match='expected'):
        PreprocessSpec.from_yaml(text)
