# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of every format are read whole, in order, with what they say of themselves."""
import errno
import io
from pathlib import Path
import sqlite3
import tempfile

from edgevl_training.bags import open_bag
from edgevl_training.bags.packed_file import _write
from edgevl_training.errors import SourceError
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionMode, StoragePlugin
from support.made_bags import (
    expected,
    FORMATS,
    frames,
    IMAGE,
    image,
    make,
    read,
    STORE2,
    write_mcap,
    write_ros1,
    write_ros2,
    write_split,
)


@pytest.mark.parametrize('kind', FORMATS)
def test_reads_every_format(tmp_path: Path, kind: str, monkeypatch):
    scratch = tmp_path / 'scratch'
    scratch.mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(scratch))
    path, made = make(kind, tmp_path / 'drive')
    bag = open_bag(path)
    assert bag.name == 'drive'
    assert bag.bytes_read == 0
    assert [(t.name, t.msgtype, t.encoding) for t in bag.topics] == [
        ('/depth', IMAGE, '16UC1'), ('/rgb', IMAGE, 'rgb8'), ('/text', 'std_msgs/msg/String', '')]
    counts = {topic.count for topic in bag.topics}
    assert counts == ({0} if kind == 'mcap without index' else {12})
    assert read(bag) == expected(made)
    assert bag.losses == []
    assert bag.bytes_read == bag.size_bytes > 0
    assert read(bag, ['/rgb']) == expected(made, ['/rgb'])
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize('kind', ['mcap split', 'sqlite split', 'mcap split zstd', 'mcap'])
def test_reads_a_folder_without_metadata(tmp_path: Path, kind: str):
    path, made = make(kind, tmp_path / 'drive')
    (path / 'metadata.yaml').unlink()
    bag = open_bag(path)
    assert {topic.name for topic in bag.topics} == {'/depth', '/rgb', '/text'}
    assert read(bag) == expected(made)
    assert bag.losses == []


def test_garbage_for_metadata_is_named_and_not_needed(tmp_path: Path):
    path, made = make('mcap split', tmp_path / 'drive')
    for garbage in (b'', b'\xff\x00', b'a: [', b'rosbag2_bagfile_information: 3'):
        (path / 'metadata.yaml').write_bytes(garbage)
        bag = open_bag(path)
        assert read(bag) == expected(made)
        assert [loss.what for loss in bag.losses] == ['metadata.yaml']


def test_files_follow_their_times_where_no_metadata_gives_an_order(tmp_path: Path):
    made = frames(range(12))
    (tmp_path / 'metadata.yaml').touch()
    write_mcap(tmp_path / 'a_evening.mcap', made[18:])
    write_mcap(tmp_path / 'b_morning.mcap', made[:18])
    assert read(open_bag(tmp_path)) == expected(made)


def test_files_of_a_bag_that_were_recorded_at_once_are_merged(tmp_path: Path):
    made = frames(range(12))
    (tmp_path / 'metadata.yaml').touch()
    for name in ('rgb', 'depth'):
        write_mcap(tmp_path / f'{name}.mcap', [m for m in made if m[0] == f'/{name}'])
    assert read(open_bag(tmp_path)) == expected(made)


def test_messages_out_of_order_by_moments_are_sorted(tmp_path: Path):
    made = frames(range(12))
    shuffled = [made[i ^ 1] for i in range(len(made))]
    assert read(open_bag(write_mcap(tmp_path / 'drive.mcap', shuffled))) == expected(made)


def test_a_clock_that_was_set_back_leaves_the_order_of_the_file(tmp_path: Path):
    made = frames([*range(50, 60), *range(10)])
    assert read(open_bag(write_mcap(tmp_path / 'drive.mcap', made))) == expected(made)


def test_a_recording_that_goes_on_after_its_metadata_is_read_to_the_end(tmp_path: Path):
    path, made = make('mcap split', tmp_path / 'drive')
    later = frames(range(12, 15))
    write_mcap(path / 'drive_3.mcap', later)
    assert read(open_bag(path)) == expected(made + later)


def test_a_file_is_taken_packed_or_unpacked_but_once(tmp_path: Path):
    path, made = make('mcap file zstd', tmp_path / 'drive')
    write_mcap(path / 'drive.mcap', made)
    bag = open_bag(path)
    assert read(bag) == expected(made)
    assert bag.losses == []


def test_metadata_leads_to_no_file_outside_the_folder(tmp_path: Path):
    path, made = make('mcap split', tmp_path / 'drive')
    (path / 'drive_2.mcap').rename(tmp_path / 'drive_2.mcap')
    metadata = path / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace('- drive_2.mcap', '- ../drive_2.mcap'))
    bag = open_bag(path)
    assert read(bag) == expected(made[:24])
    assert [loss.what for loss in bag.losses] == [
        'all of drive_2.mcap', '4 of 12 messages of /depth in all',
        '4 of 12 messages of /rgb in all']


def test_ros1_messages_in_an_mcap_file_are_read(tmp_path: Path):
    made = frames(range(3), ros1=True)
    path = write_mcap(tmp_path / 'drive.mcap', made, encoding='ros1')
    assert read(open_bag(path)) == expected(made)


def test_an_unknown_type_is_a_loss(tmp_path: Path):
    made = [(t, 'fleet_msgs/msg/Secret' if t == '/text' else k, *rest)
            for t, k, *rest in frames(range(3))]
    bag = open_bag(write_mcap(tmp_path / 'drive.mcap', made))
    assert read(bag, ['/rgb', '/text']) == expected(made, ['/rgb'])
    (loss,) = bag.losses
    assert loss.what.endswith('ns, and 2 more like it')
    assert 'fleet_msgs/msg/Secret' in loss.why


def test_a_message_that_is_no_image_is_a_loss_not_an_error(tmp_path: Path):
    made = frames(range(4))
    made[3] = (*made[3][:4], made[3][4][:20])
    bag = open_bag(write_mcap(tmp_path / 'drive.mcap', made))
    assert read(bag) == expected(made[:3] + made[4:])
    assert len(bag.losses) == 1
    assert '/rgb' in bag.losses[0].what


def test_losses_that_are_alike_are_counted_by_topic_and_reason(tmp_path: Path):
    made = [(*m[:4], b'') for m in frames(range(5))]
    bag = open_bag(write_mcap(tmp_path / 'drive.mcap', made))
    for _ in range(2):
        assert read(bag) == []
        assert [loss.what.split(' at ')[0] for loss in bag.losses] == [
            'a message of /rgb', 'a message of /depth']
        assert all(loss.what.endswith(', and 4 more like it') for loss in bag.losses)


def test_losses_are_listed_once_and_their_list_is_bounded(tmp_path: Path, monkeypatch):
    monkeypatch.setattr('edgevl_training.bags.bag._MOST_LISTED', 3)
    path = write_ros2(tmp_path / 'drive', frames(range(10)), StoragePlugin.SQLITE3)
    with sqlite3.connect(path / 'drive.db3') as database:
        database.execute('DELETE FROM messages WHERE id % 3 = 0 AND id < 29')
    database.close()
    bag = open_bag(path)
    for _ in range(2):
        read(bag)
    assert len(bag.losses) == 4
    assert [loss.what for loss in bag.losses[:3]] == [
        'messages 3 to 3', 'messages 6 to 6', 'messages 9 to 9']
    assert bag.losses[-1].why == 'too many to list'


def test_big_messages_that_compress_well_come_back(tmp_path: Path):
    pixels = np.zeros((1000, 1000, 3), np.uint8)
    message = image(STORE2.types, 1, 'rgb8', pixels)
    data = bytes(STORE2.serialize_cdr(message, IMAGE))
    made = [('/rgb', IMAGE, 1, message, data)]
    for mode in (CompressionMode.MESSAGE, CompressionMode.STORAGE):
        bag = open_bag(write_ros2(tmp_path / mode.name, made, mode=mode))
        (found,) = bag.messages(['/rgb'])
        assert found.size == len(data)
        assert found.message.data.size == pixels.size


def test_an_empty_topic_is_listed(tmp_path: Path):
    path = write_ros2(tmp_path / 'drive', frames(range(2)))
    metadata = path / 'metadata.yaml'
    text = metadata.read_text()
    metadata.write_text(text.replace('name: /text', 'name: /other'))
    assert '/other' in {topic.name for topic in open_bag(path).topics}


@pytest.mark.parametrize('name', ['nothing', 'empty', 'file.txt'])
def test_says_what_it_expected_where_there_is_no_bag(tmp_path: Path, name: str):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'file.txt').write_text('x')
    with pytest.raises(SourceError, match='no bag at .*expected a rosbag2 folder'):
        open_bag(tmp_path / name)


@pytest.mark.parametrize('name', ['a.mcap', 'a.db3', 'a.bag', 'a.mcap.zstd', 'a.db3.zstd'])
@pytest.mark.parametrize('content', [b'', b'garbage' * 1000])
def test_a_bag_of_garbage_is_refused(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match='found nothing readable.*restore it'):
        open_bag(tmp_path / name)


def test_no_room_to_unpack_names_the_remedy(tmp_path: Path):
    class FullDisk(io.BytesIO):
        """A disk without room."""

        def write(self, _):
            raise OSError(errno.ENOSPC, 'No space left on device')

    with pytest.raises(SourceError, match='room to unpack .*set TMPDIR'):
        _write(FullDisk(), b'1', tmp_path / 'drive.mcap.zstd')


def test_the_fingerprint_is_of_the_content(tmp_path: Path):
    made = frames(range(6))
    first = open_bag(write_split(tmp_path / 'a', made, 2))
    same = open_bag(write_split(tmp_path / 'b', made, 2))
    other = open_bag(write_split(tmp_path / 'c', frames(range(1, 7)), 2))
    assert first.fingerprint() == same.fingerprint()
    assert first.fingerprint() != other.fingerprint()
    assert first.fingerprint().startswith('sha256:')


def test_a_bag_is_named_by_its_file_without_the_ending(tmp_path: Path):
    made = frames(range(1))
    assert open_bag(write_mcap(tmp_path / '2024.05.01_run.mcap', made)).name == '2024.05.01_run'
    assert open_bag(write_ros2(tmp_path / 'drive.v2', made)).name == 'drive.v2'


def test_a_ros1_bag_that_was_never_closed_is_read(tmp_path: Path):
    made = frames(range(12), ros1=True)
    path = write_ros1(tmp_path / 'drive.bag', made)
    content = bytearray(path.read_bytes())
    start = content.index(b'index_pos=') + len(b'index_pos=')
    end = int.from_bytes(content[start:start + 8], 'little')
    content[start:start + 8] = bytes(8)
    active = tmp_path / 'drive.bag.active'
    active.write_bytes(content[:end])
    bag = open_bag(active)
    assert bag.name == 'drive'
    assert read(bag) == expected(made)
    assert [loss.why for loss in bag.losses] == [
        'the recording was cut off: the file has no end']
