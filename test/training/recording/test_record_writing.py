# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The writing threads: nothing is lost silently, whatever the disk does."""

from itertools import count
import threading

import pytest

pytest.importorskip('mcap', reason='bags are MCAP files')
pytest.importorskip('rosbags', reason='rosbags reads bags back')

from edgevl_training.recording import writing  # noqa: E402, I100
from edgevl_training.recording.counts import Counts, final_report  # noqa: E402
from edgevl_training.recording.losses import LossWatch  # noqa: E402
from edgevl_training.recording.message_queue import MessageQueue  # noqa: E402
from edgevl_training.recording.repair import complete_bags  # noqa: E402
from edgevl_training.recording.space import free_bytes, GB, SpaceGuard  # noqa: E402
from edgevl_training.recording.status import ERROR, OK, status_of, WARN  # noqa: E402
from support.recording import (  # noqa: E402
    COLOR,
    DEPTH,
    full_disk,
    KeptLog,
    LATCHED,
    message,
    notes,
    only_bag,
    OTHER,
    read,
    recipe,
    wait_until,
)

KB = 1000


class Disk:
    """A disk whose free space the test decides."""

    def __init__(self):
        self.free = 100 * GB

    def __call__(self, _):
        return self.free


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start recordings that check the disk often, and end them with the test."""
    monkeypatch.setattr(writing, '_CHECK_S', 0.02)
    monkeypatch.setattr(writing, '_SYNC_S', 0.1)
    started = []

    def begin(disk=free_bytes, **options):
        options = recipe(tmp_path / 'bags', **options)
        guard = SpaceGuard(options.out, options.min_free_gb, options.max_gb, disk)
        log = KeptLog()
        recording = writing.Recording(options, guard, Counts(), log)
        recording.log = log
        started.append(recording)
        return recording

    yield begin
    for recording in started:
        recording.stop()


def put(recording, one):
    recording.counts.received[one.topic.name] += 1
    recording.put(one)


def test_everything_is_written_counted_and_noted(start, tmp_path):
    recording = start()
    recording.register(OTHER)
    sent = [message(topic, k, size=KB) for k in range(50) for topic in (COLOR, DEPTH)]
    for one in sent:
        put(recording, one)
    final = recording.stop()
    folder = only_bag(tmp_path / 'bags')
    assert [data for *_, data in read(folder)] == [m.data for m in sent]
    assert notes(folder)['finished']
    assert notes(folder)['topics']['/color'] == {
        'received': 50, 'kept': 50, 'written': 50, 'dropped_queue_full': 0, 'dropped_paused': 0,
        'lost_in_transport': 0,
    }
    report = final_report(final)
    assert '1 file(s)' in report
    assert str(folder) in report


def test_notes_follow_while_recording_so_that_a_kill_finds_them(start, tmp_path):
    recording = start(split_mb=0.05)
    put(recording, message(COLOR, 0, size=60 * KB))
    wait_until(lambda: list((tmp_path / 'bags').glob('*/recording.json')), 'the first notes')
    folder = only_bag(tmp_path / 'bags')
    assert not notes(folder)['finished']
    put(recording, message(COLOR, 1))
    wait_until(lambda: notes(folder)['splits'] == 1, 'the notes of a split')
    wait_until(lambda: notes(folder)['topics']['/color']['written'] == 2, 'a chunk after a second')
    assert len(read_metadata_files(folder)) == 2


def read_metadata_files(folder):
    import yaml

    content = yaml.safe_load((folder / 'metadata.yaml').read_text())
    return content['rosbag2_bagfile_information']['relative_file_paths']


def test_a_bag_in_which_nothing_came_is_not_made(start, tmp_path):
    final = start().stop()
    assert final['folder'] is None
    assert not (tmp_path / 'bags').exists()
    report = final_report({**final, 'complaints': ['/color: nobody publishes it']})
    assert report.splitlines() == [
        'nothing recorded:', '  /color: nobody publishes it', '  topics heard: none'
    ]


def test_the_last_words_say_why_nothing_was_recorded(start):
    disk = Disk()
    disk.free = GB
    paused = start(disk, min_free_gb=2.0)
    put(paused, message(COLOR, 0))
    assert 'min_free_gb' in final_report(paused.stop())
    waited = start(mode='change')
    waited.counts.received['/color'] += 7
    assert 'mode change chose none of 7 messages' in final_report(waited.stop())


def test_recording_pauses_while_space_is_low_and_goes_on(start, tmp_path):
    disk = Disk()
    recording = start(disk, min_free_gb=2.0)
    put(recording, message(LATCHED, 0))
    put(recording, message(COLOR, 0))
    wait_until(lambda: recording._bag.folder, 'the first message')
    disk.free = 1.9 * GB
    wait_until(lambda: recording.problem, 'the pause')
    assert status_of(recording, []).level == ERROR
    assert 'min_free_gb' in status_of(recording, []).message
    put(recording, message(COLOR, 1))
    wait_until(lambda: recording.counts.paused['/color'] == 1, 'the message to be dropped')
    disk.free = 2.01 * GB
    wait_until(lambda: recording.waiting_mb == 0, 'another check')
    assert recording.problem, 'a little more is not enough'
    disk.free = 3 * GB
    wait_until(lambda: not recording.problem, 'the end of the pause')
    put(recording, message(COLOR, 2))
    final = recording.stop()
    assert final['topics']['/color'] == {
        'received': 3, 'kept': 3, 'written': 2, 'dropped_queue_full': 0, 'dropped_paused': 1,
        'lost_in_transport': 0,
    }
    assert 0 < final['paused_seconds'] < 10
    assert ['recording pauses' in line for line in recording.log.errors] == [True]
    assert recording.log.infos == ['recording goes on: there is space again']
    assert len(read(only_bag(tmp_path / 'bags'))) == 3


def test_a_disk_that_is_suddenly_full_ends_nothing_and_corrupts_nothing(start, tmp_path):
    recording = start()
    put(recording, message(COLOR, 0, size=10 * KB))
    wait_until(lambda: recording.written['/color'], 'the first chunk')
    (path,) = only_bag(tmp_path / 'bags').glob('*.mcap')
    with full_disk(path.stat().st_size + 100):
        put(recording, message(COLOR, 1, size=10 * KB))
        wait_until(lambda: recording.problem, 'the disk to refuse')
        assert 'No space' in recording.problem
        put(recording, message(COLOR, 2))
        wait_until(lambda: recording.counts.paused['/color'] == 1, 'the message to be dropped')
    wait_until(lambda: not recording.problem, 'the second try')
    put(recording, message(COLOR, 3))
    recording.stop()
    assert [len(data) for *_, data in read(only_bag(tmp_path / 'bags'))] == [
        10 * KB + 12, 10 * KB + 12, 12
    ]


def test_a_disk_that_stays_full_leaves_a_bag_for_the_next_recorder(start, tmp_path):
    recording = start()
    put(recording, message(COLOR, 0, size=200 * KB))
    wait_until(lambda: recording.written['/color'], 'the first chunk')
    (path,) = only_bag(tmp_path / 'bags').glob('*.mcap')
    with full_disk(path.stat().st_size + 10):
        put(recording, message(COLOR, 1))
        final = recording.stop()
    assert not final['finished']
    assert final['topics']['/color']['dropped_paused'] == 1
    assert 'could not be completed' in final_report(final)
    assert complete_bags(tmp_path / 'bags', 0, print)
    assert len(read(only_bag(tmp_path / 'bags'))) == 1


def test_a_recording_that_ends_on_a_full_disk_is_complete_but_for_the_last_second(start, tmp_path):
    recording = start()
    put(recording, message(COLOR, 0, size=200 * KB))
    wait_until(lambda: recording.written['/color'], 'the first chunk')
    (path,) = only_bag(tmp_path / 'bags').glob('*.mcap')
    with full_disk(path.stat().st_size + 20 * KB):
        put(recording, message(COLOR, 1, size=50 * KB))
        final = recording.stop()
    assert final['finished']
    assert final['topics']['/color']['written'] == 1
    assert final['topics']['/color']['dropped_paused'] == 1
    assert final['bytes'] == path.stat().st_size == notes(path.parent)['bytes']
    assert complete_bags(tmp_path / 'bags', 0, print) == []
    assert len(read(path.parent)) == 1


def test_losses_are_told_once_and_not_too_often():
    counts = Counts()
    every, sometimes = LossWatch(counts), LossWatch(counts, period_s=10.0)
    assert every.news(0.0) == sometimes.news(0.0) == []
    counts.lost['/color'] += 3
    counts.lost['/depth'] += 4
    (told,) = every.news(1.0)
    assert told.startswith('7 messages lost on the way')
    assert 'config/fastdds_large_images.xml' in told
    assert sometimes.news(1.0) == [told]
    counts.lost['/depth'] += 1
    counts.paused['/depth'] += 2
    assert len(every.news(2.0)) == 2
    assert every.news(3.0) == []
    assert sometimes.news(10.9) == []
    assert [news[0] for news in sometimes.news(11.0)] == ['2', '1']


def test_a_disk_too_slow_drops_the_newest_and_says_so(start, tmp_path, monkeypatch):
    go = threading.Event()
    slow = writing.Bag.write
    monkeypatch.setattr(writing.Bag, 'write', lambda bag, one: go.wait(10) and slow(bag, one))
    recording = start(queue_mb=1)
    losses = LossWatch(recording.counts)
    for k in range(20):
        put(recording, message(COLOR, k, size=100 * KB))
    dropped = recording.counts.queue_full['/color']
    assert 9 <= dropped <= 11
    assert losses.news(1.0) == [f'{dropped} messages dropped: the disk is too slow']
    status = status_of(recording, ['no depth', 'no space'])
    assert (status.level, status.message) == (WARN, 'no depth; no space')
    assert status.values['/color kept'] == '20'
    assert status.values['/color dropped'] == str(dropped)
    assert status_of(recording, []).level == OK
    go.set()
    final = recording.stop()
    assert final['topics']['/color']['written'] == 20 - dropped
    assert len(read(only_bag(tmp_path / 'bags'))) == 20 - dropped


def test_what_cannot_be_written_at_all_ends_the_recording_in_order(start, tmp_path):
    recording = start()
    put(recording, message(COLOR, 1))
    wait_until(lambda: recording.written['/color'], 'the first chunk')
    # MCAP has no times before 1970.
    put(recording, message(COLOR, 2)._replace(log_ns=-1))
    wait_until(lambda: recording.complete, 'the end')
    final = recording.stop()
    assert 'cannot go on' in final['last_problem']
    assert complete_bags(tmp_path / 'bags', 0, print)
    assert len(read(only_bag(tmp_path / 'bags'))) == 1, 'what came before'


def test_recording_ends_at_the_largest_size(start):
    recording = start(max_gb=0.001)
    for k in count():
        put(recording, message(COLOR, k, size=200 * KB))
        if k > 10:
            break
    wait_until(lambda: recording.complete, 'the end')
    assert recording.stop()['bytes'] < 5e6


def test_the_queue_is_bounded_takes_one_large_message_and_keeps_the_order():
    queue = MessageQueue(1000)
    assert queue.put(message(COLOR, 0, size=5000))
    assert not queue.put(message(COLOR, 1))
    assert queue.put(OTHER), 'announcements weigh nothing'
    assert queue.take(0) == message(COLOR, 0, size=5000)
    assert queue.waiting_bytes == 0
    assert queue.put(message(COLOR, 1))
    assert [queue.take(0), queue.take(0), queue.take(0.01)] == [OTHER, message(COLOR, 1), None]


def test_the_free_space_of_a_folder_to_come_is_that_of_its_disk(tmp_path):
    assert free_bytes(tmp_path / 'not' / 'yet') == pytest.approx(free_bytes(tmp_path), rel=0.01)
    guard = SpaceGuard(tmp_path, 0, 0)
    assert guard.problem() == ''
    assert not guard.is_complete(10**15)
