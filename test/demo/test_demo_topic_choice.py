# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Colour and depth are told apart by what the images are, then by their names."""

from demo.bag import COMPRESSED, ImageTopic, RAW
from demo.errors import DemoError
from demo.topic_choice import choose_topics, is_depth
import pytest


def raw(name: str, encoding: str, count: int = 10) -> ImageTopic:
    return ImageTopic(name, RAW, count, encoding)


def compressed(name: str, form: str, count: int = 10) -> ImageTopic:
    return ImageTopic(name, COMPRESSED, count, form)


@pytest.mark.parametrize(
    ('topic', 'expected'),
    [
        (raw('/a', '16UC1'), True),
        (raw('/a', '32FC1'), True),
        (raw('/camera/depth/image', 'mono16'), True),
        (raw('/camera/infra1/image', 'mono16'), False),
        (raw('/camera/depth/colorized', 'rgb8'), False),
        (raw('/camera/depth/image', ''), True),
        (raw('/camera/depth/confidence', 'mono8'), False),
        (compressed('/a', '16UC1; compressedDepth png'), True),
        (compressed('/a', '32FC1; compressedDepth rvl'), True),
        (compressed('/a', 'rgb8; jpeg compressed bgr8'), False),
        (compressed('/camera/depth/compressed', 'jpeg'), False),
        (compressed('/a', 'png'), False),
    ],
)
def test_tells_depth_from_colour(topic: ImageTopic, expected: bool):
    assert is_depth(topic) is expected


REALSENSE = [
    raw('/camera/infra1/image_rect_raw', 'mono8', 200),
    raw('/camera/depth/image_rect_raw', '16UC1', 100),
    raw('/camera/aligned_depth_to_color/image_raw', '16UC1', 100),
    raw('/camera/color/image_raw', 'rgb8', 100),
    compressed('/camera/color/image_raw/compressed', 'rgb8; jpeg compressed bgr8', 100),
]


def test_prefers_colour_to_infrared_and_depth_aligned_with_it():
    colour, depth = choose_topics(REALSENSE)
    assert colour.name == '/camera/color/image_raw'
    assert depth.name == '/camera/aligned_depth_to_color/image_raw'


def test_prefers_the_depth_of_the_same_camera():
    topics = [
        raw('/front/rgb/image', 'bgr8', 300),
        raw('/rear/rgb/image', 'bgr8', 100),
        raw('/front/depth/image', '32FC1', 100),
        raw('/rear/depth_registered/image', '32FC1', 300),
    ]
    colour, depth = choose_topics(topics)
    assert (colour.name, depth.name) == ('/front/rgb/image', '/front/depth/image')


def test_takes_the_topics_it_is_told():
    colour, depth = choose_topics(
        REALSENSE, 'camera/infra1/image_rect_raw', '/camera/depth/image_rect_raw'
    )
    assert colour.name == '/camera/infra1/image_rect_raw'
    assert depth.name == '/camera/depth/image_rect_raw'


def test_one_kind_of_image_is_enough():
    assert choose_topics([raw('/a', 'rgb8')])[1] is None
    assert choose_topics([raw('/a', '16UC1')])[0] is None
    assert choose_topics(REALSENSE, depth='none')[1] is None
    assert choose_topics(REALSENSE, colour='none')[0] is None


def test_refuses_unknown_topics_and_no_topics():
    with pytest.raises(DemoError, match='named /nowhere'):
        choose_topics(REALSENSE, '/nowhere')
    with pytest.raises(DemoError, match='found none'):
        choose_topics([])
