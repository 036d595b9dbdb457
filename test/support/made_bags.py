# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small bags of every format, made for a test, whose content is known message by message."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
import shutil
from typing import Any

from mcap.writer import CompressionType, IndexType, Writer as McapWriter
import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer as Writer2
from rosbags.typesys import get_typestore, Stores
import yaml

IMAGE = 'sensor_msgs/msg/Image'
TEXT = 'std_msgs/msg/String'
TRANSFORMS = 'tf2_msgs/msg/TFMessage'
FIRST_NS = 1_700_000_000_000_000_000
PERIOD_NS = 100_000_000
NAMES = ('/depth', '/rgb')

STORE1 = get_typestore(Stores.ROS1_NOETIC)
STORE2 = get_typestore(Stores.ROS2_JAZZY)


def image(types: Any, stamp_ns: int, encoding: str, pixels: np.ndarray, **header: Any) -> Any:
    """Make an image message of some pixels."""
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    stamp = types['builtin_interfaces/msg/Time'](sec=seconds, nanosec=nanoseconds)
    return types[IMAGE](
        header=types['std_msgs/msg/Header'](stamp=stamp, frame_id='optical', **header),
        height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, is_bigendian=0,
        step=pixels.nbytes // pixels.shape[0], data=np.frombuffer(pixels.tobytes(), np.uint8))


def frames(numbers: Iterable[int], ros1: bool = False, side: int = 16) -> list[tuple]:
    """Make (topic, type, time, message, bytes): for each number colour, depth and a text."""
    store = STORE1 if ros1 else STORE2
    header = {'seq': 7} if ros1 else {}
    made = []
    for number in numbers:
        random = np.random.default_rng(number)
        stamp = FIRST_NS + number * PERIOD_NS
        rgb = random.integers(0, 255, (side, side, 3), np.uint8)
        depth = random.integers(0, 5000, (side, side), np.uint16)
        for name, offset, message in (
            ('/rgb', 0, image(store.types, stamp, 'rgb8', rgb, **header)),
            ('/depth', 4_000_000, image(store.types, stamp, '16UC1', depth, **header)),
            ('/text', 5_000_000, store.types[TEXT](data=f'number {number}')),
        ):
            serialize = store.serialize_ros1 if ros1 else store.serialize_cdr
            kind = message.__msgtype__
            made.append((name, kind, stamp + offset, message, bytes(serialize(message, kind))))
    return made


def expected(made: list[tuple], names: Iterable[str] = NAMES) -> list[tuple]:
    """Give what is to be read of made messages: topic, time and pixels."""
    return [(t, ns, m.data.tobytes()) for t, _, ns, m, _ in made if t in names]


def read(bag: Any, names: Iterable[str] = NAMES) -> list[tuple]:
    """Read the same of a bag."""
    return [(m.topic, m.time_ns, m.message.data.tobytes()) for m in bag.messages(list(names))]


def write_ros2(
    path: Path, made: list[tuple], storage: StoragePlugin = StoragePlugin.MCAP,
    mode: CompressionMode | None = None,
) -> Path:
    """Write a rosbag2 folder with rosbags."""
    writer = Writer2(path, version=9, storage_plugin=storage)
    if mode:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for topic, kind, time_ns, _, data in made:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE2)
            writer.write(connections[topic], time_ns, data)
    return path


def write_ros1(
    path: Path, made: list[tuple], compression: Writer1.CompressionFormat | None = None,
    chunk_bytes: int = 4096,
) -> Path:
    """Write a ROS 1 bag with rosbags, in small chunks."""
    writer = Writer1(path)
    writer.chunk_threshold = chunk_bytes
    if compression:
        writer.set_compression(compression)
    with writer:
        connections: dict[str, Any] = {}
        for topic, kind, time_ns, _, data in made:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE1)
            writer.write(connections[topic], time_ns, data)
    return path


def write_mcap(
    path: Path, made: list[tuple], compression: CompressionType = CompressionType.NONE,
    chunk_bytes: int = 4096, chunked: bool = True, encoding: str = 'cdr', **options: Any,
) -> Path:
    """Write one mcap file with the mcap package: checksums, small chunks or none."""
    with path.open('wb') as stream:
        writer = McapWriter(
            stream, chunk_size=chunk_bytes, compression=compression, use_chunking=chunked,
            **options)
        writer.start('ros2', 'test')
        channels: dict[str, int] = {}
        for topic, kind, time_ns, _, data in made:
            if topic not in channels:
                schema = writer.register_schema(kind, 'ros2msg', b'')
                channels[topic] = writer.register_channel(topic, encoding, schema)
            writer.add_message(channels[topic], time_ns, data, time_ns)
        writer.finish()
    return path


def write_split(
    path: Path, made: list[tuple], files: int, storage: StoragePlugin = StoragePlugin.MCAP,
    mode: CompressionMode | None = None,
) -> Path:
    """Write a rosbag2 folder whose messages lie in several files, as its metadata says."""
    path.mkdir()
    whole = None
    size = -(-len(made) // files)
    for i in range(files):
        part = write_ros2(path / 'part', made[i * size:(i + 1) * size], storage, mode)
        content = yaml.safe_load((part / 'metadata.yaml').read_text())
        information = content['rosbag2_bagfile_information']
        name = information['relative_file_paths'][0]
        renamed = name.replace('part', f'{path.name}_{i}')
        (part / name).rename(path / renamed)
        information['relative_file_paths'] = [renamed]
        information['files'][0]['path'] = renamed
        whole = content if whole is None else _joined(whole, information)
        shutil.rmtree(part)
    (path / 'metadata.yaml').write_text(yaml.safe_dump(whole))
    return path


def _joined(whole: dict, part: dict) -> dict:
    information = whole['rosbag2_bagfile_information']
    for key in ('relative_file_paths', 'files'):
        information[key] += part[key]
    information['message_count'] += part['message_count']
    for topic, more in zip(
        information['topics_with_message_count'], part['topics_with_message_count']
    ):
        topic['message_count'] += more['message_count']
    return whole


# How to write made messages in each format; ROS 1 needs messages of its own.
FORMATS: dict[str, Callable[[Path, list[tuple]], Path]] = {
    'mcap': write_ros2,
    'mcap chunks zstd': lambda p, m: write_ros2(p, m, mode=CompressionMode.STORAGE),
    'mcap messages zstd': lambda p, m: write_ros2(p, m, mode=CompressionMode.MESSAGE),
    'mcap file zstd': lambda p, m: write_ros2(p, m, mode=CompressionMode.FILE),
    'sqlite': lambda p, m: write_ros2(p, m, StoragePlugin.SQLITE3),
    'sqlite messages zstd': lambda p, m: write_ros2(
        p, m, StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    'sqlite file zstd': lambda p, m: write_ros2(
        p, m, StoragePlugin.SQLITE3, CompressionMode.FILE),
    'mcap split': lambda p, m: write_split(p, m, 3),
    'sqlite split': lambda p, m: write_split(p, m, 3, StoragePlugin.SQLITE3),
    'mcap split zstd': lambda p, m: write_split(p, m, 3, mode=CompressionMode.FILE),
    'mcap lz4 chunks': lambda p, m: write_mcap(
        p.with_suffix('.mcap'), m, CompressionType.LZ4),
    'mcap zstd chunks': lambda p, m: write_mcap(
        p.with_suffix('.mcap'), m, CompressionType.ZSTD),
    'mcap without chunks': lambda p, m: write_mcap(p.with_suffix('.mcap'), m, chunked=False),
    'mcap without index': lambda p, m: write_mcap(
        p.with_suffix('.mcap'), m, index_types=IndexType.NONE, use_statistics=False,
        repeat_channels=False, repeat_schemas=False, use_summary_offsets=False),
    'ros1': lambda p, m: write_ros1(p.with_suffix('.bag'), m),
    'ros1 bz2': lambda p, m: write_ros1(p.with_suffix('.bag'), m, Writer1.CompressionFormat.BZ2),
    'ros1 lz4': lambda p, m: write_ros1(p.with_suffix('.bag'), m, Writer1.CompressionFormat.LZ4),
}


def make(kind: str, path: Path, count: int = 12) -> tuple[Path, list[tuple]]:
    """Write a bag of a format; give its path and its messages."""
    made = frames(range(count), ros1=kind.startswith('ros1'))
    return FORMATS[kind](path, made), made
