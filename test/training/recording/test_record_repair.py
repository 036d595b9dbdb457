# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bag that its recorder could not complete is completed by the next one, never made worse."""

import os
import random

import pytest

pytest.importorskip('mcap', reason='bags are MCAP files')
pytest.importorskip('rosbags', reason='rosbags reads bags back')

from edgevl_training.recording.bag import Bag  # noqa: E402, I100
from edgevl_training.recording.folders import hold  # noqa: E402
from edgevl_training.recording.mcap_file import McapFile  # noqa: E402
from edgevl_training.recording.repair import complete_bags  # noqa: E402
from mcap.reader import make_reader  # noqa: E402
from rosbags.rosbag2 import Reader  # noqa: E402
from support.recording import (  # noqa: E402
    COLOR,
    DEPTH,
    LATCHED,
    message,
    notes,
    only_bag,
    OTHER,
    read,
    recipe,
)

KB = 1000
SENT = [message(topic, k, size=20 * KB) for k in range(12) for topic in (COLOR, DEPTH)]


@pytest.fixture(params=['none', 'lz4', 'zstd'])
def killed(tmp_path, request):
    """Leave a bag of two files as a killed recorder does, a chunk for every message."""
    bag = Bag(recipe(tmp_path, split_mb=0.3, compression=request.param))
    bag.register(OTHER)
    bag.write(message(LATCHED, 0))
    for one in SENT:
        noise = random.Random(one.log_ns).randbytes(20 * KB)
        bag.write(one._replace(data=one.data[:12] + noise))
        bag.retry()
    bag.save_notes({'finished': False})
    bag.release()
    (folder,) = tmp_path.iterdir()
    assert len(list(folder.glob('*.mcap'))) == 2
    return folder


def complete(folder, **options):
    log = []
    done = complete_bags(folder.parent, options.pop('min_free', 0), log.append, **options)
    return done, '\n'.join(log)


def last_file(folder):
    return folder / f'{folder.name}_1.mcap'


def pictures(folder):
    return [(topic, log_ns) for topic, log_ns, _ in read(folder) if topic in ('/color', '/depth')]


def test_all_that_was_handed_over_is_there_again(killed):
    expected = [(m.topic.name, m.log_ns) for m in SENT]
    done, log = complete(killed)
    assert done == [killed]
    assert '0 damaged' in log
    assert pictures(killed) == expected
    assert notes(killed)['finished']
    with Reader(killed) as reader:
        assert reader.message_count == len(SENT) + 2, 'the latched one in both files'
        assert {c.topic for c in reader.connections} == {
            '/color', '/depth', '/odom', '/tf_static'
        }
        assert all(c.ext.offered_qos_profiles for c in reader.connections)
    with last_file(killed).open('rb') as file:
        summary = make_reader(file).get_summary()
        assert all(index.message_index_length for index in summary.chunk_indexes)
    assert complete(killed) == ([], ''), 'it is done once'


@pytest.mark.parametrize('cut', [1, 9, 500, 15 * KB])
def test_a_torn_end_costs_the_last_chunk_only(killed, cut):
    path = last_file(killed)
    os.truncate(path, path.stat().st_size - cut)
    assert complete(killed)[0] == [killed]
    expected = [(m.topic.name, m.log_ns) for m in SENT]
    assert pictures(killed) in (expected, expected[:-1])


def test_a_damaged_chunk_costs_itself_only(killed):
    path = last_file(killed)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle:middle + 10] = bytes(10)
    path.write_bytes(content)
    _, log = complete(killed)
    assert '1 damaged' in log
    assert len(pictures(killed)) == len(SENT) - 1


def test_bytes_that_make_no_sense_lose_only_what_comes_after_them(killed):
    path = last_file(killed)
    whole = path.read_bytes()
    path.write_bytes(whole + random.Random(1).randbytes(5 * KB))
    assert complete(killed)[0] == [killed]
    assert len(pictures(killed)) == len(SENT)


def test_a_file_that_was_just_begun_is_left_out_when_others_hold_something(killed):
    begun = McapFile(killed / f'{killed.name}_2.mcap')
    begun.register(COLOR)
    assert complete(killed)[0] == [killed]
    assert len(list(killed.glob('*.mcap'))) == 2
    assert begun.path.name not in (killed / 'metadata.yaml').read_text()
    assert len(pictures(killed)) == len(SENT)
    assert notes(killed)['splits'] == 1
    assert notes(killed)['bytes'] == sum(path.stat().st_size for path in killed.glob('*.mcap'))


def test_a_bag_in_which_nothing_came_to_be_written_says_so(tmp_path):
    folder = tmp_path / 'bag'
    folder.mkdir()
    McapFile(folder / 'bag_0.mcap')
    (folder / 'recording.json').write_text('{"finished": false}')
    done, log = complete(folder)
    assert done == [folder]
    assert 'holds no messages' in log
    assert read(folder) == []


def test_a_file_that_holds_nothing_does_not_keep_the_others_from_being_read(killed):
    last_file(killed).write_bytes(b'')
    complete(killed)
    assert 0 < len(pictures(killed)) < len(SENT)


def test_the_bag_of_a_living_recorder_is_left_alone(killed):
    before = last_file(killed).read_bytes()
    held = hold(killed)
    assert complete(killed) == ([], '')
    os.close(held)
    assert last_file(killed).read_bytes() == before


def test_without_space_for_a_copy_nothing_changes(killed):
    before = {path.name: path.read_bytes() for path in killed.iterdir()}
    done, log = complete(killed, min_free=1e15)
    assert done == []
    assert 'free space' in log
    assert {path.name: path.read_bytes() for path in killed.iterdir()} == before


def test_a_repair_that_is_given_up_changes_nothing_and_is_done_later(killed):
    before = last_file(killed).read_bytes()
    done, log = complete(killed, stopping=lambda: True)
    assert done == []
    assert 'goes on' in log
    assert last_file(killed).read_bytes() == before
    (killed / f'{last_file(killed).name}.partial').write_bytes(b'of one that was killed')
    assert complete(killed)[0] == [killed]
    assert not list(killed.glob('*.partial'))


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / 'bag').mkdir()
    for content in ('{}', '[]', 'no json', '{"finished": true}'):
        (tmp_path / 'bag' / 'recording.json').write_text(content)
        assert complete_bags(tmp_path, 0, print) == []
    assert complete_bags(tmp_path / 'nowhere', 0, print) == []


def test_a_bag_without_metadata_gets_it_from_its_files(tmp_path):
    bag = Bag(recipe(tmp_path))
    bag.write(message(COLOR, 1))
    bag.retry()
    bag.save_notes({'finished': False})
    bag.release()
    (only_bag(tmp_path) / 'metadata.yaml').write_text('torn: [')
    assert complete_bags(tmp_path, 0, print)
    assert [topic for topic, *_ in read(only_bag(tmp_path))] == ['/color']
