# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever happened to a bag, what can be read is read, and what is lost is named."""
from pathlib import Path
import sqlite3
import struct
import tracemalloc

from edgevl_training.bags import open_bag
from edgevl_training.errors import SourceError
from hypothesis import given, HealthCheck, settings, strategies as st
from mcap.reader import make_reader
from mcap.writer import CompressionType
import pytest
from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag2 import CompressionMode, StoragePlugin
from support.made_bags import (
    expected,
    FORMATS,
    frames,
    make,
    read,
    write_mcap,
    write_ros1,
    write_ros2,
    write_split,
)

# A message that is hit has other pixels, another time or another topic; where nothing checks
# content (as in most formats) it cannot be told from a sound one, so tests count it apart.
QUICK = settings(
    max_examples=10, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture])
KINDS = [kind for kind in FORMATS if 'split' not in kind]


def storage_file(path: Path) -> Path:
    if path.is_file():
        return path
    return next(file for file in path.iterdir() if file.name != 'metadata.yaml')


def chunks(path: Path) -> list[tuple[int, int]]:
    """Give start and end of each chunk of an mcap file."""
    with path.open('rb') as stream:
        indexes = make_reader(stream).get_summary().chunk_indexes
    return [(i.chunk_start_offset, i.chunk_start_offset + i.chunk_length) for i in indexes]


def with_bytes(path: Path, content: bytes, name: str = 'damaged') -> Path:
    """Write content into a file of the same kind."""
    damaged = path.with_name(name + ''.join(path.suffixes))
    damaged.write_bytes(content)
    return damaged


class Sound:
    """A bag of one format that is whole: its file, and what there is to read."""

    def __init__(self, kind: str, file: Path, want: list[tuple]) -> None:
        self.kind, self.file, self.want = kind, file, want


@pytest.fixture(scope='module', params=KINDS)
def sound(request, tmp_path_factory):
    """Give a single-file bag of each format: kind, file, what is in it."""
    path, made = make(request.param, tmp_path_factory.mktemp('sound') / 'drive', 20)
    return Sound(request.param, storage_file(path), expected(made))


@QUICK
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_bag_cut_anywhere_gives_a_part_of_its_messages_and_says_so(sound, share):
    file, want = sound.file, sound.want
    content = file.read_bytes()
    try:
        bag = open_bag(with_bytes(file, content[:int(len(content) * share)]))
    except SourceError:
        # Whatever fits into one compressed block of 128 KiB is lost with it.
        assert share < 0.4 or 'zstd' in sound.kind
        return
    found = read(bag)
    assert found == [item for item in want if item in set(found)]
    assert bag.losses or found == want
    assert bag.bytes_read == bag.size_bytes


@QUICK
@given(data=st.data())
def test_a_bag_with_flipped_bits_never_raises(sound, data):
    kind, file, want = sound.kind, sound.file, sound.want
    content = bytearray(file.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        bag = open_bag(with_bytes(file, content))
    except SourceError:
        assert 'zstd' in kind or 'bz2' in kind
        return
    found = read(bag)
    changed = [item for item in found if item not in want]
    assert bag.losses or len(found) >= len(want)
    if not ('zstd' in kind or 'bz2' in kind or 'lz4' in kind):
        assert len(changed) <= 3


@QUICK
@given(start=st.floats(0, 1), junk=st.binary(min_size=50, max_size=300))
def test_a_bag_that_is_partly_overwritten_never_raises(sound, start, junk):
    file, want = sound.file, sound.want
    content = bytearray(file.read_bytes())
    place = int(start * len(content))
    content[place:place + len(junk)] = junk[:len(content) - place]
    try:
        bag = open_bag(with_bytes(file, content))
    except SourceError:
        return
    found = read(bag)
    assert len(found) <= len(want) + 3
    assert bag.losses or len(found) >= len(want)


@pytest.mark.parametrize(
    'compression', [CompressionType.NONE, CompressionType.LZ4, CompressionType.ZSTD])
def test_a_cut_mcap_gives_every_chunk_before_the_cut(tmp_path: Path, compression):
    made = frames(range(30))
    path = write_mcap(tmp_path / 'drive.mcap', made, compression)
    content, places = path.read_bytes(), chunks(path)
    assert len(places) > 5
    for start, end in places[2:5]:
        for cut in (start, start + 5, (start + end) // 2, end - 1, end):
            bag = open_bag(with_bytes(path, content[:cut]))
            found = read(bag)
            whole = len(read(open_bag(with_bytes(path, content[:start], 'whole'))))
            assert found == expected(made)[:len(found)]
            assert len(found) >= whole > 0
            assert any(loss.why.startswith('the recording was cut off') for loss in bag.losses)
            assert bag.losses[0].where == 'damaged.mcap'
            if compression is CompressionType.NONE and cut == end - 1:
                # All but the message that was cut.
                assert len(found) > whole


def test_the_chunk_that_a_cut_goes_through_is_read_up_to_there(tmp_path: Path):
    made = frames(range(30))
    path = write_mcap(tmp_path / 'drive.mcap', made, chunk_bytes=1 << 20)
    ((start, end),) = chunks(path)
    bag = open_bag(with_bytes(path, path.read_bytes()[:(start + end) // 2]))
    found = read(bag)
    assert found == expected(made)[:len(found)]
    assert 28 <= len(found) <= 30
    assert 'what follows its first' in bag.losses[0].what


def test_a_wrong_checksum_is_a_loss_that_says_where(tmp_path: Path):
    made = frames(range(30))
    path = write_mcap(tmp_path / 'drive.mcap', made)
    start, end = chunks(path)[3]
    content = bytearray(path.read_bytes())
    content[(start + end) // 2] ^= 0xFF
    bag = open_bag(with_bytes(path, content))
    found = read(bag)
    assert len(found) == len(made) * 2 // 3
    assert len([item for item in found if item not in expected(made)]) <= 1
    assert [(f'chunk at byte {start}' in x.what, x.why) for x in bag.losses] == [
        (True, 'its checksum is wrong')]


@pytest.mark.parametrize('chunked', [True, False])
@pytest.mark.parametrize('offset', [0, 1, 2, 5, 8, 12, 40])
def test_a_damaged_record_header_costs_that_record_only(
    tmp_path: Path, chunked: bool, offset: int
):
    made = frames(range(30))
    path = write_mcap(tmp_path / 'drive.mcap', made, chunked=chunked)
    content = bytearray(path.read_bytes())
    if chunked:
        place, limit = chunks(path)[3][0], 8
    else:
        place, limit = content.index(made[45][4]) - 31, 1
        assert content[place] == 5
    content[place + offset] ^= 0x55
    bag = open_bag(with_bytes(path, content))
    found = read(bag)
    assert len([item for item in found if item in expected(made)]) >= 60 - limit
    assert bag.losses or len(found) == 60


def test_a_hole_in_an_mcap_is_a_loss_with_its_place(tmp_path: Path):
    made = frames(range(60))
    path = write_mcap(tmp_path / 'drive.mcap', made)
    places = chunks(path)
    start, end = places[3][0], places[5][1]
    content = bytearray(path.read_bytes())
    content[start:end] = bytes(end - start)
    bag = open_bag(with_bytes(path, content))
    found = read(bag)
    assert found == [item for item in expected(made) if item in set(found)]
    assert len(found) >= 120 * (1 - 3.5 / len(places))
    gap = next(x for x in bag.losses if x.what.startswith('bytes '))
    first, last = (int(word) for word in gap.what.split()[1:4:2])
    assert start - 200 <= first <= start
    assert end <= last <= end + 200


@pytest.mark.parametrize('field', ['record', 'chunk size', 'chunk data', 'message'])
def test_a_flipped_length_allocates_nothing_large(tmp_path: Path, field: str):
    made = frames(range(30))
    path = write_mcap(tmp_path / 'drive.mcap', made, CompressionType.ZSTD)
    if field == 'message':
        path = write_mcap(tmp_path / 'drive.mcap', made, chunked=False)
    content = bytearray(path.read_bytes())
    place = {
        'record': lambda: chunks(path)[3][0] + 1, 'chunk size': lambda: chunks(path)[3][0] + 25,
        'chunk data': lambda: chunks(path)[3][0] + 9 + 28 + 8,
        'message': lambda: content.index(made[45][4]) - 30}[field]()
    for value in (1 << 31, 1 << 40, (1 << 64) - 1):
        content[place:place + 8] = struct.pack('<Q', value)
        tracemalloc.start()
        found = read(open_bag(with_bytes(path, content)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 << 20
        assert len(found) >= 50


def test_a_missing_file_of_a_split_bag_costs_that_file(tmp_path: Path):
    made = frames(range(30))
    path = write_split(tmp_path / 'drive', made, 3)
    (path / 'drive_1.mcap').unlink()
    bag = open_bag(path)
    assert read(bag) == expected(made[:30] + made[60:])
    assert (bag.losses[0].what, 'not there' in bag.losses[0].why) == ('all of drive_1.mcap', True)
    assert [loss.what for loss in bag.losses[1:]] == [
        '10 of 30 messages of /depth in all', '10 of 30 messages of /rgb in all']


@pytest.mark.parametrize('storage', [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize('number', [0, 1, 2])
def test_a_file_of_garbage_in_a_split_bag_costs_that_file(tmp_path: Path, storage, number: int):
    made = frames(range(30))
    path = write_split(tmp_path / 'drive', made, 3, storage)
    file = sorted(file for file in path.iterdir() if file.suffix != '.yaml')[number]
    for content in (b'', b'\x00' * 9000, bytes(range(256)) * 40):
        file.write_bytes(content)
        bag = open_bag(path)
        rest = made[:number * 30] + made[number * 30 + 30:]
        assert read(bag) == expected(rest)
        assert any(loss.where == f'drive/{file.name}' for loss in bag.losses)


def test_a_compressed_file_that_is_cut_gives_what_comes_before(tmp_path: Path):
    made = frames(range(20), side=128)
    path = write_split(tmp_path / 'drive', made, 1, mode=CompressionMode.FILE)
    file = storage_file(path)
    content = file.read_bytes()
    file.write_bytes(content[:len(content) * 2 // 3])
    bag = open_bag(path)
    found = read(bag)
    assert found == expected(made)[:len(found)]
    assert len(found) >= 20
    assert 'the compressed file is damaged or cut off' in bag.losses[0].why


def test_a_cut_sqlite_file_gives_the_rows_before_the_cut(tmp_path: Path):
    made = frames(range(100))
    file = storage_file(write_ros2(tmp_path / 'drive', made, StoragePlugin.SQLITE3))
    content = file.read_bytes()
    for share in (0.3, 0.5, 0.77, 0.9):
        bag = open_bag(with_bytes(file, content[:int(len(content) * share)]))
        found = read(bag)
        assert set(found) <= set(expected(made))
        assert len(found) >= 200 * share - 25
        assert 'the file has' in bag.losses[0].why


def test_a_damaged_page_of_sqlite_costs_the_rows_on_it(tmp_path: Path):
    made = frames(range(100))
    file = storage_file(write_ros2(tmp_path / 'drive', made, StoragePlugin.SQLITE3))
    content = file.read_bytes()
    for page in range(len(content) // 4096):
        damaged = bytearray(content)
        damaged[page * 4096:page * 4096 + 4096] = b'\xff' * 4096
        try:
            bag = open_bag(with_bytes(file, damaged))
        except SourceError:
            # Nothing else says what topics there are.
            assert page < 10
            continue
        found = read(bag)
        assert bag.losses or found == expected(made)
        assert len(found) >= 185 or page < 10


def test_sqlite_rows_that_vanish_in_silence_are_missed(tmp_path: Path):
    made = frames(range(10))
    path = write_ros2(tmp_path / 'drive', made, StoragePlugin.SQLITE3)
    with sqlite3.connect(storage_file(path)) as database:
        database.execute('DELETE FROM messages WHERE id BETWEEN 7 AND 9')
    database.close()
    bag = open_bag(path)
    assert read(bag) == expected(made[:6] + made[9:])
    assert bag.losses[0].what == 'messages 7 to 9'


def test_what_a_killed_recorder_left_in_the_log_of_sqlite_is_read(tmp_path: Path):
    made = frames(range(10))
    path = write_ros2(tmp_path / 'source', made, StoragePlugin.SQLITE3)
    writer = sqlite3.connect(storage_file(path))
    writer.execute('PRAGMA journal_mode=WAL')
    writer.execute('PRAGMA wal_autocheckpoint=0')
    writer.execute('INSERT INTO messages (topic_id, timestamp, data) SELECT topic_id, '
                   'timestamp + 10000000000, data FROM messages')
    writer.commit()
    killed = tmp_path / 'killed'
    killed.mkdir()
    for file in path.iterdir():
        if file.suffix != '.yaml':
            (killed / file.name).write_bytes(file.read_bytes())
    writer.close()
    assert len(read(open_bag(killed))) == 40


@pytest.mark.parametrize('part', ['header', 'inside', 'index'])
def test_a_damaged_ros1_bag_gives_its_other_messages(tmp_path: Path, part: str):
    made = frames(range(60), ros1=True)
    path = write_ros1(tmp_path / 'drive.bag', made)
    with Reader1(path) as reader:
        places = [info.pos for info in reader.chunk_infos]
    content = bytearray(path.read_bytes())
    place = {'header': places[4], 'inside': places[4] + 600, 'index': places[-1] + 5000}[part]
    content[place:place + 60] = b'\xff' * 60
    bag = open_bag(with_bytes(path, content))
    found = read(bag)
    assert len([item for item in found if item in expected(made)]) >= 110
    assert bag.losses or len(found) == 120


def test_every_cut_of_a_ros1_bag_gives_the_messages_before(tmp_path: Path):
    made = frames(range(60), ros1=True)
    path = write_ros1(tmp_path / 'drive.bag', made)
    content = path.read_bytes()
    for cut in range(len(content) // 3, len(content) * 9 // 10, 2999):
        bag = open_bag(with_bytes(path, content[:cut]))
        found = read(bag)
        assert found == expected(made)[:len(found)]
        before = sum(1 for m in made if m[0] != '/text' and content.index(m[4]) + len(m[4]) <= cut)
        assert len(found) == before
        assert any('cut off' in loss.why for loss in bag.losses)
