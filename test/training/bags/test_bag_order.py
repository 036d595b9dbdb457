# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages come in the order of time, however they lie in the bag."""
from pathlib import Path
import sqlite3
import tracemalloc

from edgevl_training.bags import open_bag
from edgevl_training.bags.time_order import lies_topic_by_topic
from mcap.writer import CompressionType
import pytest
from rosbags.rosbag2 import StoragePlugin
from support.made_bags import expected, FORMATS, frames, NAMES, read, write_mcap, write_ros2

SECOND_NS = 1_000_000_000
FIRST = frames(range(1))[0][2]
# Without an index of messages nothing tells how they lie.
UNINDEXED = ('mcap without chunks', 'mcap without index')
INDEXED = [kind for kind in FORMATS if 'split' not in kind and kind not in UNINDEXED]


def topic_by_topic(made: list[tuple]) -> list[tuple]:
    return sorted(made, key=lambda message: message[0])


@pytest.mark.parametrize('kind', INDEXED)
def test_topics_that_were_written_one_after_the_other_are_merged(tmp_path: Path, kind: str):
    made = frames(range(60), ros1=kind.startswith('ros1'))
    bag = open_bag(FORMATS[kind](tmp_path / 'drive', topic_by_topic(made)))
    assert read(bag) == expected(made)
    assert bag.bytes_read == bag.size_bytes
    assert bag.losses == []


def test_so_are_those_of_one_chunk(tmp_path: Path):
    made = frames(range(60))
    path = write_mcap(tmp_path / 'drive.mcap', topic_by_topic(made), chunk_bytes=64 << 20)
    assert read(open_bag(path)) == expected(made)


def test_a_large_sqlite_file_is_judged_by_its_index_of_times(tmp_path: Path, monkeypatch):
    monkeypatch.setattr('edgevl_training.bags.sqlite_file._COUNTED_BYTES', 0)
    made = frames(range(60))
    slow = [(t, k, FIRST + 100 * (ns - FIRST), m, d) for t, k, ns, m, d in made[:6]]
    for number, messages in enumerate((made, slow)):
        path = write_ros2(
            tmp_path / f'drive{number}', topic_by_topic(messages), StoragePlugin.SQLITE3)
        assert read(open_bag(path)) == expected(messages)
    with sqlite3.connect(tmp_path / 'drive0' / 'drive0.db3') as database:
        database.execute('DROP INDEX timestamp_idx')
    database.close()
    bag = open_bag(tmp_path / 'drive0')
    assert read(bag) == expected(topic_by_topic(made))
    assert [loss.what for loss in bag.losses] == ['the order of time']


@pytest.mark.parametrize('kind', UNINDEXED)
def test_without_an_index_the_order_of_the_file_is_kept_and_said(tmp_path: Path, kind: str):
    made = topic_by_topic(frames(range(60)))
    bag = open_bag(FORMATS[kind](tmp_path / 'drive', made))
    assert read(bag) == expected(made)
    (loss,) = bag.losses
    assert loss.where == 'drive.mcap'
    assert loss.why.startswith('time runs back by 5.9 s')


@pytest.mark.parametrize('kind', ['mcap', 'sqlite', 'ros1', 'mcap lz4 chunks'])
def test_a_clock_that_was_set_back_leaves_the_order_of_the_file(tmp_path: Path, kind: str):
    made = frames([*range(50, 60), *range(10)], ros1=kind == 'ros1')
    bag = open_bag(FORMATS[kind](tmp_path / 'drive', made))
    assert read(bag) == expected(made)
    assert [loss.what for loss in bag.losses] == ['the order of time']


@pytest.mark.parametrize('share', [0.3, 0.6, 0.9])
def test_damage_does_not_keep_topics_from_being_merged(tmp_path: Path, share: float):
    made = frames(range(60))
    path = write_mcap(tmp_path / 'drive.mcap', topic_by_topic(made))
    content = bytearray(path.read_bytes())
    # The index is at the end; what it says is needed.
    place = int(share * content.index(b'/text'))
    content[place:place + 2000] = bytes(2000)
    path.write_bytes(content)
    bag = open_bag(path)
    found = [item for item in read(bag) if item in expected(made)]
    assert found == [item for item in expected(made) if item in found]
    assert 100 <= len(found) < 120
    assert bag.losses


@pytest.mark.parametrize('kind', ['mcap zstd chunks', 'sqlite', 'ros1'])
def test_memory_is_flat(tmp_path: Path, kind: str):
    peaks = []
    for times in (1, 6, 48):
        made = [(topic, k, ns + i * SECOND_NS, message, data) for i in range(times)
                for topic, k, ns, message, data in frames(range(10), kind == 'ros1', side=32)]
        path = FORMATS[kind](tmp_path / str(times), topic_by_topic(made))
        tracemalloc.start()
        assert sum(1 for _ in open_bag(path).messages(NAMES)) == 20 * times
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.25 * peaks[1] + 100_000


def test_a_file_lies_topic_by_topic_if_only_the_whole_runs_back():
    second = [('/a', 0), ('/a', 5 * SECOND_NS), ('/b', 0), ('/b', 5 * SECOND_NS)]
    assert lies_topic_by_topic(iter(second))
    assert not lies_topic_by_topic(iter(sorted(second, key=lambda item: item[1])))
    assert not lies_topic_by_topic(iter([*second, ('/a', 0)]))
    assert not lies_topic_by_topic(iter([('/a', SECOND_NS), ('/b', 0)]))
    assert not lies_topic_by_topic(iter([]))


def test_progress_of_several_readers_rises_to_the_size_of_the_bag(tmp_path: Path):
    path = write_mcap(
        tmp_path / 'drive.mcap', topic_by_topic(frames(range(60))), CompressionType.ZSTD)
    bag = open_bag(path)
    steps = [bag.bytes_read for _ in bag.messages(NAMES)]
    assert steps == sorted(steps)
    assert len(set(steps)) > 10
    assert bag.bytes_read == bag.size_bytes
