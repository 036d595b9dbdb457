# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Memory does not grow with the length of a bag; the real bags read as rosbags reads them."""
import os
from pathlib import Path
import tracemalloc

from edgevl_training.bags import find_bags, find_topics, open_bag
from edgevl_training.bags.inflate import inflate
from edgevl_training.bags.order import sort_nearly_sorted
from edgevl_training.bags.storage import Channel, RawMessage
import pytest
from rosbags.highlevel import AnyReader
from support.made_bags import FORMATS, frames, NAMES, PERIOD_NS
import zstandard

DATA = os.environ.get('EDGEVL_TEST_DATA')


def peak_of_reading(path: Path) -> tuple[int, int]:
    tracemalloc.start()
    bag = open_bag(path)
    count = sum(1 for _ in bag.messages(NAMES))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert bag.losses == []
    return count, peak


def repeated(times: int, ros1: bool) -> list[tuple]:
    """Make ten frames once and record them again and again."""
    made = frames(range(10), ros1, side=32)
    return [(topic, kind, ns + i * 10 * PERIOD_NS, message, data)
            for i in range(times) for topic, kind, ns, message, data in made]


@pytest.mark.parametrize(
    'kind', ['mcap', 'mcap zstd chunks', 'mcap without chunks', 'mcap messages zstd', 'sqlite',
             'ros1', 'ros1 lz4'])
def test_memory_is_flat(tmp_path: Path, kind: str):
    ros1 = kind.startswith('ros1')
    peak_of_reading(FORMATS[kind](tmp_path / 'first', repeated(1, ros1)))
    short = peak_of_reading(FORMATS[kind](tmp_path / 'short', repeated(6, ros1)))
    long = peak_of_reading(FORMATS[kind](tmp_path / 'long', repeated(48, ros1)))
    assert long[0] == 8 * short[0] == 48 * 20
    assert long[1] < 1.25 * short[1] + 100_000


def test_what_waits_to_be_sorted_is_bounded(monkeypatch):
    monkeypatch.setattr('edgevl_training.bags.order._WINDOW_BYTES', 1000)
    given = 0

    def messages():
        nonlocal given
        for i in range(100):
            given += 1
            yield RawMessage(Channel('/a', '', 'cdr'), i, bytes(100))

    for i, _ in enumerate(sort_nearly_sorted(messages())):
        assert given - i <= 13


def test_progress_rises_to_the_size_of_the_bag(tmp_path: Path):
    bag = open_bag(FORMATS['mcap split'](tmp_path / 'drive', frames(range(60))))
    steps = [bag.bytes_read for _ in bag.messages(NAMES)]
    assert steps == sorted(steps)
    assert len(set(steps)) > 2
    assert bag.bytes_read == bag.size_bytes


@pytest.mark.parametrize('sized', [True, False])
def test_nothing_unpacks_beyond_its_limit(sized: bool):
    bomb = zstandard.ZstdCompressor(write_content_size=sized).compress(bytes(64 << 20))
    tracemalloc.start()
    content, why = inflate('zstd', bomb, 1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(content) == 1 << 20
    assert 'more than' in why
    assert peak < 80 << 20


@pytest.mark.parametrize('compression', ['zstd', 'lz4', 'bz2', 'none'])
def test_garbage_unpacks_to_a_reason(compression: str):
    content, why = inflate(compression, b'garbage' * 100, 1 << 20)
    assert (content, bool(why)) == ((b'garbage' * 100, False) if compression == 'none'
                                    else (b'', True))


@pytest.mark.skipif(not DATA, reason='EDGEVL_TEST_DATA does not name the test data')
def test_the_real_bags_read_as_rosbags_reads_them():
    paths = find_bags([Path(DATA) / 'bags'])
    assert {path.name for path in paths} >= {'nyu_tour', 'redkitchen_raw'}
    for path in paths:
        bag = open_bag(path)
        with AnyReader([path]) as reader:
            assert {t.name: t.count for t in bag.topics} == {
                name: info.msgcount for name, info in reader.topics.items()}
            names = [topic.name for topic in bag.topics]
            ours = [(m.topic, m.time_ns) for m in bag.messages(names)]
            theirs = [(c.topic, ns) for c, ns, _ in reader.messages()]
        assert sorted(ours) == sorted(theirs)
        assert [ns for _, ns in ours] == [ns for _, ns in theirs]
        assert bag.losses == []
        assert all(find_topics(bag))
