# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What each mode keeps of a camera's day, and that the buffer stays small."""

from collections import Counter
from itertools import pairwise

from edgevl_training.recording.messages import header_stamp_ns, NANOSECONDS
from edgevl_training.recording.ring import Ring
from edgevl_training.recording.selection import Scenes, selection_for, SILENCE_S
from edgevl_training.recording.trigger import Reason, SceneTrigger
from hypothesis import given, strategies as st
import pytest
from support.recording import COLOR, DEPTH, INFO, LATCHED, message, OTHER, recipe

SURE, UNSURE = [('kitchen', 0.9), ('office', 0.1)], [('kitchen', 0.3), ('office', 0.2)]


def play(selection, seconds, start_s=0.0, rate=30, topics=(COLOR, DEPTH, INFO)):
    """Feed a camera's messages, depth 4 ms after colour; give what is to be recorded."""
    kept = []
    for k in range(round(seconds * rate)):
        now_s = start_s + k / rate
        for topic in topics:
            stamp_s = now_s + (0.004 if topic is DEPTH else 0.0)
            kept += selection.feed(message(topic, stamp_s, received_s=stamp_s + 0.01))
    return kept


def stamps(messages, topic):
    return [header_stamp_ns(m.data) / NANOSECONDS for m in messages if m.topic is topic]


@pytest.fixture
def scenes(tmp_path):
    triggers = Counter()
    options = recipe(
        tmp_path, mode='change', stable_frames=3, min_interval=2.0, context=0.22,
        fallback_interval=5.0, unsure_below=0.4, unsure_margin=0.1,
    )
    return Scenes(options, triggers, now_s=0.0), triggers


def test_continuous_keeps_everything(tmp_path):
    selection = selection_for(recipe(tmp_path), Counter(), 0.0)
    assert len(play(selection, 1.0)) == 90


def test_interval_keeps_a_whole_pair_now_and_then(tmp_path):
    triggers = Counter()
    selection = selection_for(recipe(tmp_path, mode='interval', interval=2.0), triggers, 0.0)
    kept = play(selection, 9.0)
    kept += selection.tick(100.0)
    assert stamps(kept, COLOR) == pytest.approx([0, 2, 4, 6, 8], abs=0.2)
    assert stamps(kept, DEPTH) == pytest.approx([s + 0.004 for s in stamps(kept, COLOR)])
    assert stamps(kept, INFO) == stamps(kept, COLOR)
    assert triggers == {'interval': 5}


def test_interval_goes_by_depth_where_there_is_no_colour(tmp_path):
    options = recipe(tmp_path, mode='interval', interval=2.0, rgb_topic='')
    kept = play(selection_for(options, Counter(), 0.0), 3.0, topics=(DEPTH,))
    assert len(stamps(kept, DEPTH)) == 2


def test_depth_of_another_time_is_no_partner(tmp_path):
    options = recipe(tmp_path, mode='interval', interval=2.0)
    selection = selection_for(options, Counter(), 0.0)
    selection.feed(message(DEPTH, 0.0))
    selection.feed(message(INFO, 0.0))
    selection.feed(message(COLOR, 1.5))
    assert [m.topic for m in selection.tick(3.0)] == [INFO, COLOR]


@pytest.mark.parametrize('skew_s', [None, 5.0, -5.0, 3600.0])
def test_depth_of_another_clock_is_found_by_its_receipt(tmp_path, skew_s):
    selection = selection_for(recipe(tmp_path, mode='interval', interval=2.0), Counter(), 0.0)
    kept = []
    for k in range(600):
        for topic, skew in ((COLOR, 0.0), (DEPTH, skew_s)):
            # Without a clock, all stamps are zero.
            stamp_s = 0.0 if skew_s is None else 5000 + k / 30 + skew
            kept += selection.feed(message(topic, stamp_s, received_s=k / 30))
    pairs = [(m.received_s, m.topic.role) for m in kept]
    assert len(pairs) == 20
    assert all(color[0] == depth[0] for color, depth in zip(pairs[::2], pairs[1::2]))


def test_interval_goes_by_depth_as_long_as_colour_does_not_come(tmp_path):
    triggers = Counter()
    selection = selection_for(recipe(tmp_path, mode='interval', interval=1.0), triggers, 0.0)
    kept = play(selection, 6.0, topics=(DEPTH, OTHER))
    assert stamps(kept, DEPTH) == pytest.approx([2, 3, 4, 5], abs=0.2)
    assert Counter(m.topic for m in kept) == {DEPTH: 4, OTHER: 4}
    kept = play(selection, 3.0, start_s=6.0, topics=(COLOR, DEPTH))
    assert stamps(kept, COLOR) == pytest.approx([6, 7, 8], abs=0.2)
    assert triggers['interval'] in (7, 8)


def test_latched_and_other_topics_are_kept_with_the_pictures(tmp_path):
    selection = selection_for(recipe(tmp_path, mode='interval', interval=60), Counter(), 0.0)
    assert list(selection.feed(message(LATCHED, 0))) == [message(LATCHED, 0)]
    kept = play(selection, 1.0, topics=(COLOR, OTHER))
    assert Counter(m.topic for m in kept) == {COLOR: 1, OTHER: 1}


def test_a_new_scene_keeps_the_picture_that_its_header_names_and_its_surroundings(scenes):
    selection, triggers = scenes
    kept = play(selection, 4.0)
    for k in range(3):
        # The node answers 0.4 s late, about the picture at 3.6 s and the two before.
        selection.hear(round((108 - 2 + k) / 30 * 1e9), SURE, now_s=4.0 + k / 30)
    kept += play(selection, 2.0, start_s=4.1)
    assert triggers == {Reason.CHANGED.value: 1}
    assert stamps(kept, COLOR) == pytest.approx([k / 30 for k in range(105, 112)])
    assert 3.6 in stamps(kept, COLOR)
    assert len(stamps(kept, DEPTH)) == 7
    selection.hear(round(5.5 * 1e9), SURE, now_s=6.2)
    assert play(selection, 1.0, start_s=6.2) == [], 'the same scene is no news'


def test_pictures_are_kept_once_however_many_scenes_name_them(scenes):
    selection, _ = scenes
    play(selection, 3.0)
    kept = []
    for now_s in (3.0, 5.1):
        selection.hear(2_900_000_000, UNSURE, now_s)
        kept += selection.tick(now_s + 0.5)
    assert len(set(map(id, kept))) == len(kept) > 0


def test_a_picture_that_is_gone_is_counted_and_the_newest_kept_instead(scenes):
    selection, triggers = scenes
    play(selection, 5.0)
    selection.hear(123, UNSURE, now_s=5.0)
    kept = list(selection.tick(6.0))
    assert max(stamps(kept, COLOR)) == pytest.approx(149 / 30)
    assert triggers == {Reason.UNSURE.value: 1, 'picture no longer held': 1}


def test_without_a_perception_node_the_day_is_not_lost(scenes):
    selection, triggers = scenes
    assert play(selection, SILENCE_S - 0.1) == []
    assert not selection.is_deaf(SILENCE_S - 0.1)
    kept = play(selection, 14.0, start_s=SILENCE_S)
    assert selection.is_deaf(24.0)
    assert stamps(kept, COLOR) == pytest.approx([10, 15, 20], abs=0.2)
    assert triggers == {Reason.FALLBACK.value: 3}
    selection.hear(0, SURE, now_s=24.0)
    assert not selection.is_deaf(24.1)


def test_a_change_is_one_that_lasts():
    trigger = SceneTrigger(3, unsure_below=0, unsure_margin=0, min_interval_s=0)
    labels = 'aabaaabcbcbbbbbbccc'
    fired = [k for k, label in enumerate(labels) if trigger.feed([(label, 0.9)], float(k))]
    assert fired == [5, 12, 18]


def test_a_change_that_comes_too_soon_is_not_forgotten():
    trigger = SceneTrigger(2, unsure_below=0, unsure_margin=0, min_interval_s=10)
    assert trigger.feed([('a', 1.0)], 0) is None
    assert trigger.feed([('a', 1.0)], 1) is Reason.CHANGED
    for now_s in (2, 3, 4, 10):
        assert trigger.feed([('b', 1.0)], now_s) is None
    assert trigger.feed([('b', 1.0)], 11) is Reason.CHANGED


@pytest.mark.parametrize(
    ('scores', 'unsure'),
    [
        ([('a', 0.9), ('b', 0.1)], False), ([('b', 0.1), ('a', 0.9)], False),
        ([('a', 0.39)], True), ([('a', 0.5), ('b', 0.45)], True), ([('a', 0.5)], False),
        ([], True), ([('a', float('nan'))], True), ([('a', float('nan')), ('b', 0.9)], True),
    ],
)
def test_unsure_is_a_low_best_score_or_a_close_second(scores, unsure):
    trigger = SceneTrigger(1000, unsure_below=0.4, unsure_margin=0.1, min_interval_s=0)
    assert (trigger.feed(scores, 0.0) is Reason.UNSURE) == unsure


@given(st.lists(st.tuples(st.sampled_from('abc'), st.floats(0, 1), st.floats(0, 3)), max_size=60))
def test_triggers_keep_their_distance(scenes_seen):
    trigger = SceneTrigger(2, 0.5, 0.1, min_interval_s=2.0)
    now_s, fired = 0.0, []
    for label, score, step_s in scenes_seen:
        now_s += step_s
        reason = trigger.feed([(label, score), ('z', 0.3)], now_s)
        if reason:
            fired.append((now_s, reason))
    changes = [fired_s for fired_s, reason in fired if reason is Reason.CHANGED]
    assert all(later - earlier >= 2.0 for earlier, later in pairwise(changes))
    assert all(
        later - earlier >= 2.0 for (earlier, _), (later, reason) in pairwise(fired)
        if reason is Reason.UNSURE
    )


def test_being_unsure_all_the_time_hides_no_change():
    trigger = SceneTrigger(2, unsure_below=0.4, unsure_margin=0, min_interval_s=5)
    fired = [
        (now_s, trigger.feed([(label, 0.2)], now_s)) for now_s, label in enumerate('aabbbbbb')
    ]
    assert [(now_s, reason) for now_s, reason in fired if reason] == [
        (0, Reason.UNSURE), (1, Reason.CHANGED), (6, Reason.CHANGED)
    ]


def test_by_default_a_best_score_among_dozens_of_labels_is_sure(tmp_path):
    triggers = Counter()
    selection = Scenes(recipe(tmp_path, mode='change', stable_frames=2), triggers, now_s=0.0)
    for k in range(60):
        selection.hear(k, [('kitchen', 0.16), ('office', 0.12), ('hall', 0.1)], k / 2)
    assert triggers == {Reason.CHANGED.value: 1}


@given(
    st.lists(st.tuples(st.integers(0, 400), st.floats(0, 0.5)), min_size=1, max_size=80),
    st.floats(0.1, 3), st.integers(100, 1000),
)
def test_the_buffer_is_bounded_in_seconds_and_bytes(arrivals, seconds, most_bytes):
    ring = Ring(seconds, most_bytes)
    now_s = 0.0
    for size, step_s in arrivals:
        now_s += step_s
        ring.add(message(COLOR, now_s, size=size))
        held = [h.message for h in ring]
        assert held[-1].received_s == now_s
        assert len(held) == 1 or (
            held[0].received_s >= now_s - seconds and sum(len(m.data) for m in held) <= most_bytes
        )


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 999_999_999), st.booleans())
def test_stamps_are_read_from_either_byte_order(sec, nanosec, little):
    data = bytes([0, little, 0, 0])
    order = 'little' if little else 'big'
    data += sec.to_bytes(4, order, signed=True) + nanosec.to_bytes(4, order)
    assert header_stamp_ns(data + b'more') == sec * NANOSECONDS + nanosec
    assert header_stamp_ns(data[:11]) is None
