# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Colour and depth are told apart by what the images are, then by their names."""
from pathlib import Path

from edgevl_training.bags import find_topics, open_bag, Topic
from edgevl_training.bags.topics import choose_topics, is_depth
from edgevl_training.errors import SourceError
import pytest
from support.made_bags import frames, write_mcap

RAW = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'


def raw(name: str, encoding: str, count: int = 10) -> Topic:
    return Topic(name, RAW, count, encoding)


def compressed(name: str, form: str, count: int = 10) -> Topic:
    return Topic(name, COMPRESSED, count, form)


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
def test_tells_depth_from_colour(topic: Topic, expected: bool):
    assert is_depth(topic) is expected


REALSENSE = [
    raw('/camera/infra1/image_rect_raw', 'mono8', 200),
    raw('/camera/depth/image_rect_raw', '16UC1', 100),
    raw('/camera/aligned_depth_to_color/image_raw', '16UC1', 100),
    raw('/camera/color/image_raw', 'rgb8', 100),
    compressed('/camera/color/image_raw/compressed', 'rgb8; jpeg compressed bgr8', 100),
    Topic('/camera/color/camera_info', 'sensor_msgs/msg/CameraInfo', 100),
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


@pytest.mark.parametrize(
    ('asked', 'there', 'found'),
    [
        ('/c/image', ['/c/image', '/c/image/compressed'], '/c/image'),
        ('/c/image', ['/c/image/compressed'], '/c/image/compressed'),
        ('/c/image/compressed', ['/c/image'], '/c/image'),
        ('/c/image/compressed', ['/c/image', '/c/image/compressed'], '/c/image/compressed'),
    ],
)
def test_a_topic_is_found_with_and_without_its_transport(asked, there, found):
    topics = [Topic(name, COMPRESSED, 1, 'jpeg') for name in there]
    assert choose_topics(topics, asked, 'none')[0].name == found


def test_depth_without_its_transport_is_compressed_depth():
    topics = [compressed('/d/image/compressed', 'jpeg'),
              compressed('/d/image/compressedDepth', '16UC1; compressedDepth png')]
    assert choose_topics(topics, depth='/d/image')[1].name == '/d/image/compressedDepth'


def test_topics_whose_counts_are_unknown_are_found_but_empty_ones_are_not():
    assert choose_topics([raw('/a', 'rgb8', 0)])[0].name == '/a'
    with pytest.raises(SourceError, match='found none'):
        choose_topics([raw('/a', '', 0)])


def test_one_kind_of_image_is_enough():
    assert choose_topics([raw('/a', 'rgb8')])[1] is None
    assert choose_topics([raw('/a', '16UC1')])[0] is None
    assert choose_topics(REALSENSE, depth='none')[1] is None
    assert choose_topics(REALSENSE, colour='none')[0] is None


def test_unknown_topics_are_refused_with_a_list_of_those_that_exist():
    with pytest.raises(SourceError) as refused:
        choose_topics(REALSENSE, '/nowhere')
    assert 'named /nowhere, found none' in str(refused.value)
    for topic in REALSENSE:
        assert f'{topic.name} ({topic.msgtype}' in str(refused.value)
    with pytest.raises(SourceError, match='found /camera/color/camera_info .*CameraInfo'):
        choose_topics(REALSENSE, '/camera/color/camera_info')
    with pytest.raises(SourceError, match='no topic at all'):
        choose_topics([])


def test_the_colour_of_a_bag_is_needed_its_depth_is_not(tmp_path: Path):
    made = frames(range(2))
    path = write_mcap(tmp_path / 'drive.mcap', made)
    colour, depth = find_topics(open_bag(path))
    assert (colour.name, depth.name) == ('/rgb', '/depth')
    write_mcap(path, [m for m in made if m[0] != '/depth'])
    assert find_topics(open_bag(path))[1] is None
    write_mcap(path, [m for m in made if m[0] != '/rgb'])
    with pytest.raises(SourceError, match='topic with colour images, found none'):
        find_topics(open_bag(path))
