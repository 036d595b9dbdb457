# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags are what rosbag2 expects, split as asked, and never torn by a disk that refuses."""

import random

from hypothesis import given, settings, strategies as st
import pytest
import yaml

pytest.importorskip('mcap', reason='bags are MCAP files')
pytest.importorskip('rosbags', reason='rosbags reads bags back')

from edgevl_training.errors import OutputError  # noqa: E402, I100
from edgevl_training.recording import mcap_file  # noqa: E402
from edgevl_training.recording.bag import Bag  # noqa: E402
from edgevl_training.recording.folders import check_writable, hold, make_folder  # noqa: E402
from edgevl_training.recording.repair import complete_bags  # noqa: E402
from mcap.reader import make_reader  # noqa: E402
from mcap.records import Chunk  # noqa: E402
from mcap.stream_reader import StreamReader  # noqa: E402
from rosbags.interfaces import QosDurability, QosReliability  # noqa: E402
from rosbags.rosbag2 import Reader  # noqa: E402
from support.recording import (  # noqa: E402
    COLOR,
    DEPTH,
    full_disk,
    INFO,
    largest_file,
    LATCHED,
    message,
    only_bag,
    OTHER,
    read,
    recipe,
)

KB = 1000


def close(bag, **more):
    bag.close()
    bag.save_notes({'finished': True, **more})
    bag.release()


def whole_records(path):
    """Count the records of a file without a footer, as a stream reader finds them."""
    count = 0
    with path.open('rb') as file:
        try:
            for _ in StreamReader(file, validate_crcs=True).records:
                count += 1
        except Exception as error:  # noqa: B902 - the end of a file that breaks off
            assert type(error).__name__ == 'EndOfFile', error
    return count


def test_a_bag_is_read_back_byte_for_byte_by_its_metadata(tmp_path):
    bag = Bag(recipe(tmp_path))
    sent = [message(topic, k / 10, size=10 * KB) for k in range(20) for topic in (COLOR, DEPTH)]
    bag.register(OTHER)
    for one in sent:
        bag.write(one)
    close(bag)
    folder = only_bag(tmp_path)
    assert folder.name.startswith('edgevl_20')
    assert read(folder) == [(m.topic.name, m.log_ns, m.data) for m in sent]
    with Reader(folder) as reader:
        assert reader.message_count == 40
        assert reader.duration == 1_900_000_001
        types = {c.topic: (c.msgtype, c.msgcount) for c in reader.connections}
        assert types == {
            '/color': ('sensor_msgs/msg/Image', 20), '/depth': ('sensor_msgs/msg/Image', 20),
            '/odom': ('std_msgs/msg/String', 0),
        }
        (qos,) = reader.connections[0].ext.offered_qos_profiles
        assert qos.reliability is QosReliability.BEST_EFFORT
        assert qos.durability is QosDurability.VOLATILE


def test_metadata_is_what_humble_and_later_read(tmp_path):
    bag = Bag(recipe(tmp_path))
    bag.write(message(COLOR, 1))
    close(bag)
    folder = only_bag(tmp_path)
    content = yaml.safe_load((folder / 'metadata.yaml').read_text())
    information = content['rosbag2_bagfile_information']
    # Up to version 8 of the metadata, QoS is YAML in a string, with the numbers of rmw.
    assert information['version'] == 5
    topic = information['topics_with_message_count'][0]['topic_metadata']
    assert yaml.safe_load(topic['offered_qos_profiles'])[0]['reliability'] == 2
    with (folder / information['relative_file_paths'][0]).open('rb') as file:
        reader = make_reader(file)
        assert reader.get_header().profile == 'ros2'
        summary = reader.get_summary()
        (channel,) = summary.channels.values()
        assert channel.message_encoding == 'cdr'
        assert channel.metadata['offered_qos_profiles'] == topic['offered_qos_profiles']
        (stored,) = [m for m in reader.iter_metadata() if m.name == 'rosbag2']
        # Without it, rosbag2 of Jazzy would take the numbers for names.
        assert yaml.safe_load(stored.metadata['serialized_metadata'])['version'] == 5
        assert all(index.message_index_length for index in summary.chunk_indexes)


def test_every_file_of_a_split_bag_begins_with_what_is_latched(tmp_path):
    bag = Bag(recipe(tmp_path, split_mb=0.1))
    bag.write(message(LATCHED, 0))
    bag.write(message(INFO, 0))
    sent = [message(COLOR, 1 + k / 10, size=30 * KB) for k in range(12)]
    for k, one in enumerate(sent):
        if k == 6:
            bag.write(message(INFO, 1.55))
        bag.write(one)
    close(bag)
    folder = only_bag(tmp_path)
    files = sorted(folder.glob('*.mcap'))
    assert [file.name for file in files] == [f'{folder.name}_{k}.mcap' for k in range(len(files))]
    assert len(files) == bag.splits + 1 == 3
    for file in files:
        with Reader(file) as reader:
            topics = [(c.topic, data) for c, _, data in reader.messages()]
        assert {'/tf_static', '/camera_info'} == {topic for topic, _ in topics[:2]}
    last_info = [data for topic, data in topics if topic == '/camera_info']
    assert last_info == [message(INFO, 1.55).data], 'the last one only'
    assert [m for m in read(folder) if m[0] == '/color'] == [
        ('/color', m.log_ns, m.data) for m in sent
    ]
    times = [log_ns for _, log_ns, _ in read(folder)]
    assert times == sorted(times)
    # What is repeated was not received, so it is not counted as written.
    assert dict(bag.written) == {'/tf_static': 1, '/camera_info': 2, '/color': 12}


def test_files_are_split_by_age(tmp_path, monkeypatch):
    now_s = 100.0
    monkeypatch.setattr('time.monotonic', lambda: now_s)
    bag = Bag(recipe(tmp_path, split_minutes=1))
    bag.write(message(COLOR, 1))
    now_s += 61
    bag.write(message(COLOR, 2))
    close(bag)
    assert len(list(only_bag(tmp_path).glob('*.mcap'))) == 2


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=40), flushes=st.sets(
    st.integers(0, 39)))
def test_what_was_handed_over_is_whole_at_any_moment(tmp_path_factory, sizes, flushes):
    path = tmp_path_factory.mktemp('file') / 'a.mcap'
    file = mcap_file.McapFile(path)
    for k, size in enumerate(sizes):
        file.add(message(COLOR, k, size=size))
        if k in flushes:
            file.flush()
            copy = path.with_name('copy.mcap')
            copy.write_bytes(path.read_bytes())
            assert whole_records(copy) > k, 'as a kill at this moment would leave it'
    assert file.size >= path.stat().st_size
    file.close()
    assert file.size == path.stat().st_size
    assert file.counts.total == len(sizes)
    with Reader(path) as reader:
        assert [data for *_, data in reader.messages()] == [
            message(COLOR, k, size=size).data for k, size in enumerate(sizes)
        ]


@pytest.mark.parametrize('compression', ['none', 'lz4', 'zstd'])
def test_chunks_may_be_compressed(tmp_path, compression):
    bag = Bag(recipe(tmp_path, compression=compression))
    sent = [message(COLOR, k, size=100 * KB) for k in range(5)]
    for one in sent:
        bag.write(one)
    close(bag)
    assert [data for *_, data in read(only_bag(tmp_path))] == [m.data for m in sent]
    assert (bag.size < 100 * KB) == (compression != 'none')


def test_a_chunk_is_closed_when_it_is_full_or_a_second_old(tmp_path, monkeypatch):
    now_s = 0.0
    monkeypatch.setattr('time.monotonic', lambda: now_s)
    file = mcap_file.McapFile(tmp_path / 'a.mcap')
    now_s = 50.0
    assert not file.chunk_is_due, 'an empty one never is'
    file.add(message(COLOR, 1, size=10))
    now_s = 50.9
    assert not file.chunk_is_due
    now_s = 51.0
    assert file.chunk_is_due
    file.flush()
    assert not file.chunk_is_due
    file.add(message(COLOR, 1, size=mcap_file.CHUNK_BYTES))
    assert file.chunk_is_due


def test_a_full_disk_tears_nothing_and_what_waits_is_written_when_there_is_space(tmp_path):
    bag = Bag(recipe(tmp_path))
    bag.write(message(COLOR, 0, size=100 * KB))
    bag.retry()
    (path,) = only_bag(tmp_path).glob('*.mcap')
    good = path.read_bytes()
    with full_disk(len(good) + 10 * KB):
        bag.write(message(COLOR, 1, size=50 * KB))
        for _ in range(3):
            with pytest.raises(OSError, match='No space'):
                bag.retry()
        assert path.read_bytes() == good, 'not one byte of half a chunk'
        assert bag.pending['/color'] == 1
        assert bag.written['/color'] == 1
    bag.retry()
    bag.write(message(COLOR, 2))
    close(bag)
    assert [len(data) for *_, data in read(only_bag(tmp_path))] == [
        100 * KB + 12, 50 * KB + 12, 12
    ]


def test_a_split_that_the_disk_refuses_is_done_later(tmp_path):
    bag = Bag(recipe(tmp_path, split_mb=0.05))
    bag.write(message(COLOR, 0, size=60 * KB))
    bag.retry()
    (path,) = only_bag(tmp_path).glob('*.mcap')
    with full_disk(path.stat().st_size + 10):
        for _ in range(2):
            with pytest.raises(OSError, match='No space'):
                bag.write(message(COLOR, 1, size=KB))
    bag.write(message(COLOR, 2, size=KB))
    close(bag)
    assert [len(data) for *_, data in read(only_bag(tmp_path))] == [60 * KB + 12, KB + 12]


@pytest.mark.parametrize('compression', ['none', 'zstd'])
def test_a_file_as_large_as_its_file_system_allows_is_followed_by_another(tmp_path, compression):
    bag = Bag(recipe(tmp_path, compression=compression))
    bag.write(message(LATCHED, 0))
    sent = [message(COLOR, 1 + k, size=20 * KB) for k in range(20)]
    sent = [m._replace(data=m.data[:12] + random.Random(m.log_ns).randbytes(20 * KB))
            for m in sent]
    with largest_file(110 * KB):
        for k, one in enumerate(sent):
            bag.write(one)
            if k % 2:
                bag.retry()
        close(bag)
    folder = only_bag(tmp_path)
    assert bag.whole
    assert bag.splits == 4
    assert [m for m in read(folder) if m[0] == '/color'] == [
        ('/color', m.log_ns, m.data) for m in sent
    ]
    assert dict(bag.written) == {'/tf_static': 1, '/color': 20}
    for path in folder.glob('*.mcap'):
        check_whole(path)


def check_whole(path):
    """Check the summary of a file against what is in it, its checksums included."""
    with path.open('rb') as file:
        records = list(StreamReader(file, validate_crcs=True, emit_chunks=True).records)
    with path.open('rb') as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        messages = [m for _, _, m in reader.iter_messages()]
    statistics = summary.statistics
    assert statistics.message_count == len(messages)
    assert sum(statistics.channel_message_counts.values()) == len(messages)
    chunks = [record for record in records if isinstance(record, Chunk)]
    assert statistics.chunk_count == len(summary.chunk_indexes) == len(chunks)
    assert (statistics.message_start_time, statistics.message_end_time) == (
        min(m.log_time for m in messages), max(m.log_time for m in messages)
    )


def test_a_file_without_space_for_its_end_is_completed_later_and_does_not_stop_the_next(tmp_path):
    bag = Bag(recipe(tmp_path))
    bag.write(message(COLOR, 0, size=20 * KB))
    bag.retry()
    (path,) = only_bag(tmp_path).glob('*.mcap')
    with largest_file(path.stat().st_size + 10):
        bag.write(message(COLOR, 1, size=KB))
        bag.retry()
    close(bag, finished=bag.whole)
    assert not bag.whole
    assert complete_bags(tmp_path, 0, print)
    assert [len(data) for *_, data in read(only_bag(tmp_path))] == [20 * KB + 12, KB + 12]


def test_a_bag_that_ends_on_a_full_disk_plays_without_what_could_not_be_written(tmp_path):
    bag = Bag(recipe(tmp_path))
    bag.write(message(COLOR, 0, size=20 * KB))
    bag.retry()
    (path,) = only_bag(tmp_path).glob('*.mcap')
    with full_disk(path.stat().st_size + 5 * KB):
        bag.write(message(COLOR, 1, size=20 * KB))
        bag.write(message(DEPTH, 1, size=20 * KB))
        with pytest.raises(OSError, match='No space'):
            bag.close()
        bag.save_notes({})
    bag.release()
    assert bag.whole
    assert dict(bag.pending) == {'/color': 1, '/depth': 1}
    assert [len(data) for *_, data in read(only_bag(tmp_path))] == [20 * KB + 12]
    check_whole(path)
    assert bag.bytes_written == bag.size == path.stat().st_size


def test_a_file_that_cannot_even_begin_leaves_nothing(tmp_path):
    bag = Bag(recipe(tmp_path))
    with largest_file(100), pytest.raises(OSError, match='File too large'):
        bag.write(message(COLOR, 0))
    assert list(only_bag(tmp_path).iterdir()) == []
    bag.write(message(COLOR, 1))
    close(bag)
    assert len(read(only_bag(tmp_path))) == 1


def test_each_bag_has_a_folder_of_its_own_that_is_held(tmp_path):
    first, held = make_folder(tmp_path / 'deep' / 'down', 'x')
    second, other = make_folder(tmp_path / 'deep' / 'down', 'x')
    assert first != second
    with pytest.raises(BlockingIOError):
        hold(first)
    Bag(recipe(tmp_path)).release()
    import os

    os.close(held)
    os.close(other)
    os.close(hold(first))


def test_a_place_where_no_bag_can_be_is_refused_at_the_start(tmp_path):
    check_writable(tmp_path / 'new' / 'folder')
    assert (tmp_path / 'new' / 'folder').is_dir()
    (tmp_path / 'file').write_text('')
    with pytest.raises(OutputError, match='expected a folder to make bags in'):
        check_writable(tmp_path / 'file')


def test_latched_messages_that_come_again_are_kept_once_and_are_bounded(tmp_path):
    bag = Bag(recipe(tmp_path, split_mb=0.05))
    for k in range(100):
        bag.remember(message(LATCHED, k % 3, size=10))
    for k in range(80):
        bag.remember(message(OTHER, k))
    bag.write(message(COLOR, 0))
    close(bag)
    topics = [topic for topic, *_ in read(only_bag(tmp_path))]
    assert topics == ['/tf_static'] * 3 + ['/color']
