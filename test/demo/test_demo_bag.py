# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of every kind are read with their own stamps; damage is reported, not hidden."""

from collections.abc import Callable
from pathlib import Path

from demo.bag import COMPRESSED, image_topics, open_bag, RAW, read_images
from demo.errors import DemoError
from demo.topic_choice import choose_topics
import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer as Writer2
from rosbags.typesys import get_typestore, Stores

FRAMES = 6
FIRST_NS = 1_700_000_000_000_000_000
PERIOD_NS = 100_000_000


def image(types, stamp: int, encoding: str, header: dict, value: int):
    size = {'rgb8': 3, '16UC1': 2}[encoding]
    header_type, time_type = types['std_msgs/msg/Header'], types['builtin_interfaces/msg/Time']
    seconds, nanoseconds = divmod(stamp, 1_000_000_000)
    return types[RAW](
        header=header_type(
            stamp=time_type(sec=seconds, nanosec=nanoseconds), frame_id='optical', **header
        ),
        height=4, width=5, encoding=encoding, is_bigendian=0, step=5 * size,
        data=np.full(20 * size, value, np.uint8),
    )


def write(writer, store, serialize: Callable, header: dict) -> None:
    types = store.types
    with writer:
        connections = {
            name: writer.add_connection(name, msgtype, typestore=store)
            for name, msgtype in (
                ('/rgb', RAW), ('/depth', RAW), ('/jpeg', COMPRESSED),
                ('/text', 'std_msgs/msg/String'),
            )
        }
        for i in range(FRAMES):
            stamp = FIRST_NS + i * PERIOD_NS
            for name, message in (
                ('/rgb', image(types, stamp, 'rgb8', header, i)),
                ('/depth', image(types, stamp + 4_000_000, '16UC1', header, i)),
                ('/text', types['std_msgs/msg/String'](data='hello')),
            ):
                connection = connections[name]
                data = serialize(message, connection.msgtype)
                writer.write(connection, stamp + 10_000_000, data)


def write_ros2(path: Path, storage: StoragePlugin, mode: CompressionMode | None = None) -> Path:
    writer = Writer2(path, version=9, storage_plugin=storage)
    if mode:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    store = get_typestore(Stores.ROS2_JAZZY)
    write(writer, store, store.serialize_cdr, {})
    return path


def write_ros1(path: Path) -> Path:
    store = get_typestore(Stores.ROS1_NOETIC)
    write(Writer1(path), store, store.serialize_ros1, {'seq': 7})
    return path


KINDS = {
    'mcap': lambda path: write_ros2(path, StoragePlugin.MCAP),
    'sqlite3': lambda path: write_ros2(path, StoragePlugin.SQLITE3),
    'zstd': lambda path: write_ros2(path, StoragePlugin.MCAP, CompressionMode.MESSAGE),
    'ros1': lambda path: write_ros1(path.with_suffix('.bag')),
    'mcap file': lambda path: next(write_ros2(path, StoragePlugin.MCAP).glob('*.mcap')),
}


@pytest.mark.parametrize('kind', KINDS)
def test_reads_every_kind_of_bag(tmp_path: Path, kind: str):
    with open_bag(KINDS[kind](tmp_path / 'bag')) as reader:
        topics = image_topics(reader)
        assert {(x.name, x.encoding, x.count) for x in topics} == {
            ('/rgb', 'rgb8', FRAMES), ('/depth', '16UC1', FRAMES)
        }
        colour, depth = choose_topics(topics)
        read = list(read_images(reader, [colour, depth]))
    assert [topic.name for topic, _, _ in read] == ['/rgb', '/depth'] * FRAMES
    nanoseconds = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for _, _, m in read]
    assert nanoseconds[::2] == [FIRST_NS + i * PERIOD_NS for i in range(FRAMES)]
    assert nanoseconds[1] == FIRST_NS + 4_000_000
    assert [int(m.data[0]) for _, _, m in read[::2]] == list(range(FRAMES))


def test_says_what_it_expected_where_there_is_no_bag(tmp_path: Path):
    with pytest.raises(DemoError, match='no rosbag at .*expected a rosbag2 folder'):
        with open_bag(tmp_path / 'nothing'):
            pass
    with pytest.raises(DemoError, match='no rosbag at'):
        with open_bag(tmp_path):
            pass


@pytest.mark.parametrize('kind', ['mcap', 'ros1'])
def test_a_bag_cut_off_is_refused_with_a_remedy(tmp_path: Path, kind: str):
    path = KINDS[kind](tmp_path / 'bag')
    file = path if path.is_file() else next(path.glob('*.mcap'))
    file.write_bytes(file.read_bytes()[:-300])
    with pytest.raises(DemoError, match='cannot open the bag .*mended'):
        with open_bag(path) as reader:
            list(read_images(reader, image_topics(reader)))


def test_a_bag_damaged_in_the_middle_is_read_up_to_there(tmp_path: Path):
    path = next(write_ros2(tmp_path / 'bag', StoragePlugin.SQLITE3).glob('*.db3'))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle:middle + 4096] = b'\xff' * 4096
    path.write_bytes(content)
    read = []
    with pytest.raises(DemoError, match='damaged|cannot open'), open_bag(path) as reader:
        for item in read_images(reader, image_topics(reader)):
            read.append(item)
    assert len(read) < 2 * FRAMES
