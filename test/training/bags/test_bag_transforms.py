# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where two cameras sit to each other is read from /tf_static."""
from pathlib import Path

from edgevl_training.bags import open_bag
from edgevl_training.bags.messages import _store
from edgevl_training.bags.transforms import StaticTransforms, Transform, transform_between
import numpy as np
import pytest
from rosbags.rosbag1 import Writer
from rosbags.rosbag2 import CompressionMode, StoragePlugin
from support.made_bags import (
    FIRST_NS,
    frames,
    STORE1,
    STORE2,
    TRANSFORMS,
    write_mcap,
    write_ros1,
    write_ros2,
)

HALF = np.sqrt(0.5)
# x, y, z and x, y, z, w: a turn of 90 degrees about z, and one about x.
LINKS = [('base', 'mast', (1.0, 0.0, 0.0), (0.0, 0.0, HALF, HALF)),
         ('mast', 'color', (0.0, 2.0, 0.0), (HALF, 0.0, 0.0, HALF)),
         ('mast', 'depth', (0.0, 2.0, 0.5), (0.0, 0.0, 0.0, 1.0))]


def message(types, links, **header):
    geometry = 'geometry_msgs/msg/'
    stamp = types['builtin_interfaces/msg/Time'](sec=1, nanosec=0)
    made = []
    for parent, child, place, turn in links:
        transform = types[f'{geometry}Transform'](
            translation=types[f'{geometry}Vector3'](**dict(zip('xyz', place))),
            rotation=types[f'{geometry}Quaternion'](**dict(zip('xyzw', turn))))
        made.append(types[f'{geometry}TransformStamped'](
            header=types['std_msgs/msg/Header'](stamp=stamp, frame_id=parent, **header),
            child_frame_id=child, transform=transform))
    return made


def transforms_message(links):
    return STORE2.types[TRANSFORMS](transforms=message(STORE2.types, links))


def made_with_transforms() -> list[tuple]:
    made = frames(range(20))
    for place, link in zip((0, 7, 40), LINKS):
        item = transforms_message([link])
        data = bytes(STORE2.serialize_cdr(item, TRANSFORMS))
        made.insert(place, ('/tf_static', TRANSFORMS, FIRST_NS, item, data))
    return made


@pytest.mark.parametrize('kind', ['mcap', 'cut', 'sqlite', 'packed', 'ros1'])
def test_transforms_are_found_in_every_format(tmp_path: Path, kind: str):
    made = made_with_transforms()
    if kind in ('mcap', 'cut'):
        path = write_mcap(tmp_path / 'drive.mcap', made)
        if kind == 'cut':
            path.write_bytes(path.read_bytes()[:-400])
    elif kind == 'ros1':
        # The types of ROS 1 have no tf2_msgs in rosbags; what reads them brings its own.
        store = _store('ros1')
        links = [(f'/{parent}', child, *rest) for parent, child, *rest in LINKS]
        item = store.types[TRANSFORMS](transforms=message(STORE1.types, links, seq=0))
        data = bytes(store.serialize_ros1(item, TRANSFORMS))
        path = tmp_path / 'drive.bag'
        with Writer(path) as writer:
            writer.write(writer.add_connection('/tf_static', TRANSFORMS, typestore=store), 5, data)
    else:
        storage = StoragePlugin.SQLITE3 if kind == 'sqlite' else StoragePlugin.MCAP
        path = write_ros2(tmp_path / 'drive', made, storage,
                          CompressionMode.FILE if kind == 'packed' else None)
    bag = open_bag(path)
    transforms = bag.static_transforms()
    assert set(transforms.by_child) == {'mast', 'color', 'depth'}
    assert bag.bytes_read == 0
    assert bag.losses == []


def test_a_chain_of_transforms_is_followed_both_ways():
    transforms = StaticTransforms()
    transforms.add(transforms_message(LINKS))
    down = transform_between(transforms, target='base', source='color')
    assert down.translation == pytest.approx((-1, 0, 0))
    assert down.rotation == pytest.approx((0.5, 0.5, 0.5, 0.5))
    across = transform_between(transforms, target='depth', source='/color')
    assert across.translation == pytest.approx((0, 0, -0.5))
    assert across.rotation == pytest.approx((HALF, 0, 0, HALF))
    back = transform_between(transforms, target='color', source='depth')
    # Half a metre ahead of the origin, seen from a frame that is turned about x.
    assert back.translation == pytest.approx((0, 0.5, 0))
    assert transform_between(transforms, 'base', 'base') == Transform(
        'base', 'base', (0, 0, 0), (0, 0, 0, 1))


def test_frames_that_nothing_joins_have_no_transform():
    transforms = StaticTransforms()
    transforms.add(transforms_message(LINKS))
    assert transform_between(transforms, 'base', 'nowhere') is None
    assert transform_between(StaticTransforms(), 'a', 'b') is None


def test_damaged_transforms_are_passed_over_and_a_ring_ends():
    transforms = StaticTransforms()
    nan, zero = float('nan'), (0.0, 0.0, 0.0)
    unit = (0.0, 0.0, 0.0, 1.0)
    transforms.add(transforms_message([
        ('a', 'nan', (nan, 0.0, 0.0), unit), ('a', 'zero', zero, (0.0, 0.0, 0.0, 0.0)),
        ('a', 'a', zero, unit), ('one', 'other', zero, unit), ('other', 'one', zero, unit)]))
    assert set(transforms.by_child) == {'one', 'other'}
    transform_between(transforms, 'one', 'other')


def test_a_bag_without_transforms_has_none(tmp_path: Path):
    path = write_ros1(tmp_path / 'drive.bag', frames(range(3), ros1=True))
    assert open_bag(path).static_transforms().by_child == {}
