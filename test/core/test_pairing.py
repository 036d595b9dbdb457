# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the matching of colour and depth streams."""

from __future__ import annotations

from collections import Counter
from dataclasses import FrozenInstanceError
from typing import Any

from edgevl_ros.core.pairing import Pair, Pairing, PairingCounts
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import invariant, rule, RuleBasedStateMachine
import pytest

MS = 1_000_000
S = 1000 * MS
TOLERANCE = 15 * MS
TIMEOUT = 100 * MS
PERIOD = 33 * MS


def make(**changes: int) -> Pairing[str, str]:
    limits = {'tolerance_ns': TOLERANCE, 'timeout_ns': TIMEOUT, 'capacity': 8, 'absence_ns': S}
    return Pairing(**{**limits, **changes})


def test_a_match_is_emitted_at_once_whichever_comes_first() -> None:
    pairing = make()
    assert pairing.add_color(0, 'c0', now_ns=5) == []
    assert pairing.add_depth(4 * MS, 'd0', now_ns=6) == [Pair(0, 'c0', 'd0', 4 * MS, 0)]
    assert pairing.add_depth(PERIOD, 'd1', now_ns=7) == []
    assert pairing.add_color(PERIOD + MS, 'c1', now_ns=8) == [
        Pair(PERIOD + MS, 'c1', 'd1', -MS, 0)]
    assert pairing.counts == PairingCounts(2, 0, 0, 0, 0, 0, 0)
    assert pairing.pending == 0
    assert pairing.next_deadline_ns() is None


def test_the_tolerance_is_inclusive() -> None:
    pairing = make()
    pairing.add_color(0, 'c', 0)
    assert len(pairing.add_depth(TOLERANCE, 'd', 0)) == 1
    pairing.add_color(PERIOD, 'c', 0)
    assert pairing.add_depth(PERIOD + TOLERANCE + 1, 'd', 0) == []


def test_the_nearest_pending_stamp_wins_and_is_used_once() -> None:
    pairing = make(tolerance_ns=50 * MS)
    for stamp in (0, 20 * MS, 60 * MS):
        pairing.add_color(stamp, f'c{stamp // MS}', 0)
    assert [p.color for p in pairing.add_depth(25 * MS, 'd', 0)] == ['c20']
    assert [p.color for p in pairing.add_depth(26 * MS, 'd', 0)] == ['c0']
    assert [p.color for p in pairing.add_depth(27 * MS, 'd', 0)] == ['c60']


def test_out_of_order_stamps_within_the_timeout_match() -> None:
    pairing = make()
    for index in (1, 0, 2):
        pairing.add_color(index * PERIOD, f'c{index}', 0)
    pairs = [p for i in (2, 0, 1) for p in pairing.add_depth(i * PERIOD, f'd{i}', 90 * MS)]
    assert [(p.color, p.depth) for p in pairs] == [('c2', 'd2'), ('c0', 'd0'), ('c1', 'd1')]


def test_a_lone_item_is_released_when_its_timeout_ends() -> None:
    pairing = make()
    pairing.add_color(7, 'c', now_ns=1000)
    assert pairing.next_deadline_ns() == 1000 + TIMEOUT
    assert pairing.poll(999 + TIMEOUT) == []
    assert pairing.poll(1000 + TIMEOUT) == [Pair(7, 'c', None, 0, 0)]
    assert pairing.counts.lone_color == 1


def test_depth_alone_is_stamped_by_itself() -> None:
    pairing = make()
    pairing.add_depth(7, 'd', 0)
    assert pairing.poll(TIMEOUT) == [Pair(7, None, 'd', 0, 0)]
    assert pairing.counts.lone_depth == 1


def test_an_overdue_item_is_released_by_the_next_arrival_even_without_poll() -> None:
    pairing = make()
    pairing.add_color(0, 'c', 0)
    assert pairing.add_depth(0, 'd', TIMEOUT) == [Pair(0, 'c', None, 0, 0)]
    assert pairing.counts.late == 1


@pytest.mark.parametrize('only', ['color', 'depth'])
def test_only_the_first_frames_wait_for_a_sensor_that_does_not_exist(only: str) -> None:
    pairing = make()
    add = getattr(pairing, f'add_{only}')
    delays = {}
    for index in range(60):
        now = index * PERIOD
        for pair in add(now, 'x', now):
            delays[pair.stamp_ns] = now - pair.stamp_ns
    assert all(delays[index * PERIOD] == 0 for index in range(4, 60))
    assert delays[0] > 0


def test_a_stream_that_dies_is_waited_for_until_the_absence_then_no_longer() -> None:
    pairing = make()
    pairing.add_color(0, 'c', 0)
    pairing.add_depth(0, 'd', 0)
    emitted = {}
    for now in range(PERIOD, 3 * S, MS):
        pairs = pairing.poll(now)
        if now % PERIOD == 0:
            pairs += pairing.add_color(now, 'c', now)
        emitted.update({pair.stamp_ns: now - pair.stamp_ns for pair in pairs})
    before = [delay for stamp, delay in emitted.items() if stamp < S - TIMEOUT]
    after = [delay for stamp, delay in emitted.items() if stamp >= S]
    assert set(before) == {TIMEOUT}
    assert set(after) == {0}


def test_a_stream_that_returns_is_waited_for_again() -> None:
    pairing = make()
    for index in range(60):
        pairing.add_color(index * PERIOD, 'c', index * PERIOD)
    now = 59 * PERIOD + MS
    assert pairing.add_depth(59 * PERIOD, 'd', now) == []  # its colour has gone
    assert pairing.counts.late == 1
    assert pairing.add_color(60 * PERIOD, 'c60', 60 * PERIOD) == []
    assert [p.color for p in pairing.add_depth(60 * PERIOD, 'd', 60 * PERIOD + MS)] == ['c60']


def test_streams_slower_than_the_absence_still_pair() -> None:
    pairing = make()
    pairs = []
    for index in range(20):
        now = index * 5 * S
        pairs += pairing.add_color(now, 'c', now)
        pairs += pairing.add_depth(now + MS, 'd', now + 10 * MS)
    assert len(pairs) == pairing.counts.matched == 20


def test_slow_streams_pair_again_soon_after_one_lost_message() -> None:
    pairing = make()
    for index in range(20):
        now = index * 5 * S
        pairing.add_color(now, 'c', now)
        if index != 3:
            pairing.add_depth(now + MS, 'd', now + 10 * MS)
    assert pairing.counts == PairingCounts(
        matched=19, lone_color=1, lone_depth=0, duplicate=0, late=0, overflow=0, time_jumps=0)


def test_nothing_is_lost_after_a_pause_of_both_streams() -> None:
    pairing = make()
    for burst in range(6):
        for index in range(5):
            now = burst * 3 * S + index * PERIOD
            pairing.add_color(now, 'c', now)
            if index < 4:
                pairing.add_depth(now + 4 * MS, 'd', now)
    pairing.flush()
    assert pairing.counts == PairingCounts(
        matched=24, lone_color=6, lone_depth=0, duplicate=0, late=0, overflow=0, time_jumps=0)


def test_one_frame_in_two_has_no_depth_and_recording_pauses_after_each_two() -> None:
    pairing = make()
    for index in range(20):
        now = index * 5 * S
        pairing.add_color(now, 'lone', now + 2 * MS)
        pairing.add_color(now + 33 * MS, 'c', now + 35 * MS)
        pairing.add_depth(now + 36 * MS, 'd', now + 66 * MS)
    pairing.flush()
    assert pairing.counts.matched == 20
    assert pairing.counts.lone_color == 20


def test_after_a_pause_of_both_a_stream_that_stays_away_is_waited_for_one_absence() -> None:
    pairing = make()
    pairing.add_color(0, 'c', 0)
    pairing.poll(S)  # waits in vain
    pairing.add_depth(S, 'd', S)
    pairing.poll(2 * S)
    resumed, waited = 60 * S, {}
    for now in range(resumed, resumed + 3 * S, MS):
        pairs = pairing.poll(now)
        if now % PERIOD == 0:
            pairs += pairing.add_color(now, 'c', now)
        waited.update({pair.stamp_ns: now - pair.stamp_ns for pair in pairs})
    assert {t for stamp, t in waited.items() if stamp < resumed + S - TIMEOUT} == {TIMEOUT}
    assert {t for stamp, t in waited.items() if stamp > resumed + S + PERIOD} == {0}


def test_a_counterpart_that_comes_after_the_release_is_late() -> None:
    pairing = make()
    pairing.add_color(0, 'c', 0)
    pairing.poll(TIMEOUT)
    assert pairing.add_depth(MS, 'd', TIMEOUT + 1) == []
    assert pairing.counts.late == 1
    assert pairing.pending == 0
    # One released item makes one item late, not two.
    pairing.add_depth(2 * MS, 'd', TIMEOUT + 2)
    assert pairing.counts.late == 1
    assert pairing.pending == 1


@pytest.mark.parametrize('fate', ['pending', 'matched', 'released', 'late'])
def test_the_same_stamp_again_is_a_duplicate(fate: str) -> None:
    pairing = make()
    if fate == 'late':
        pairing.add_depth(0, 'd', 0)
        pairing.poll(TIMEOUT)
    pairing.add_color(0, 'c', 0)
    if fate == 'matched':
        pairing.add_depth(0, 'd', 0)
    if fate == 'released':
        pairing.poll(TIMEOUT)
    before = pairing.counts
    assert pairing.add_color(0, 'again', TIMEOUT + 1 if fate != 'pending' else 1) == []
    assert pairing.counts.duplicate == before.duplicate + 1 == 1
    assert pairing.counts.time_jumps == 0


def test_a_camera_that_repeats_its_newest_frame_stays_a_duplicate() -> None:
    pairing = make()
    for now in range(0, 10 * S, PERIOD):
        pairing.add_color(0, 'frozen', now)
    assert pairing.counts.lone_color == 1
    assert pairing.counts.time_jumps == 0


def loop(length_ns: int, loops: int) -> tuple[list[Pair[Any, Any]], Pairing[Any, Any]]:
    """Play a bag of both streams several times; payloads are (loop, stamp)."""
    pairing: Pairing[Any, Any] = make(capacity=32)
    pairs = []
    now = 0
    for turn in range(loops):
        for stamp in range(0, length_ns, PERIOD):
            now += PERIOD
            pairs += pairing.add_color(stamp, (turn, stamp), now)
            pairs += pairing.add_depth(stamp + 4 * MS, (turn, stamp), now + 4 * MS)
    return pairs, pairing


@pytest.mark.parametrize('length_ns', [200 * MS, 900 * MS, 5 * S])
def test_a_looped_bag_counts_one_jump_per_loop_and_pairs_everything(length_ns: int) -> None:
    pairs, pairing = loop(length_ns, loops=4)
    assert pairing.counts.time_jumps == 3
    assert pairing.counts.matched == len(pairs) == 4 * len(range(0, length_ns, PERIOD))
    assert all(pair.timeline == pair.color[0] == pair.depth[0] for pair in pairs)


def test_a_jump_releases_what_waited_in_the_old_timeline() -> None:
    pairing = make()
    pairing.add_color(10 * S, 'old', 0)
    assert pairing.add_color(0, 'new', 1) == [Pair(10 * S, 'old', None, 0, 0)]
    assert pairing.add_depth(0, 'd', 2) == [Pair(0, 'new', 'd', 0, 1)]
    assert pairing.counts.time_jumps == 1


def test_leftovers_of_the_old_timeline_are_late_and_never_match() -> None:
    pairing = make()
    pairing.add_color(10 * S, 'c', 0)
    pairing.add_depth(10 * S, 'd', 0)
    pairing.add_color(0, 'c0', 1)
    assert pairing.add_depth(10 * S + PERIOD, 'leftover', 2) == []
    assert pairing.counts.late == 1
    assert [p.depth for p in pairing.add_depth(MS, 'd0', 3)] == ['d0']
    assert pairing.counts.time_jumps == 1


def test_a_small_step_back_is_no_jump() -> None:
    pairing = make()
    pairing.add_color(10 * S, 'c', 0)
    pairing.add_color(9 * S, 'c', 1)
    assert pairing.counts.time_jumps == 0
    pairing.add_color(9 * S - 1, 'c', 1)
    assert pairing.counts.time_jumps == 1


def test_when_only_one_clock_was_set_back_the_other_stream_is_not_lost() -> None:
    pairing = make()
    depth = color = 0
    for index in range(200):
        now = index * PERIOD
        offset = 0 if index < 20 else -60 * S
        for pair in (pairing.add_color(100 * S + now + offset, 'c', now)
                     + pairing.add_depth(100 * S + now, 'd', now)):
            color += pair.color is not None
            depth += pair.depth is not None
    assert pairing.counts.time_jumps == 1
    assert color > 190 and depth > 160


def test_one_corrupt_future_stamp_costs_one_jump_only() -> None:
    pairing = make()
    for index in range(60):
        now = index * PERIOD
        pairing.add_color(2**62 if index == 20 else now, 'c', now)
        pairing.add_depth(now, 'd', now + MS)
    assert pairing.counts.time_jumps == 1
    assert pairing.counts.matched >= 56


def test_a_forward_jump_is_no_jump_back() -> None:
    pairing = make()
    pairing.add_color(0, 'c', 0)
    pairing.add_color(10**15, 'c', 1)
    assert [p.color for p in pairing.add_depth(10**15, 'd', 2)] == ['c']
    assert pairing.counts.time_jumps == 0


def test_an_arrival_clock_that_runs_back_neither_stalls_nor_releases_early() -> None:
    pairing = make()
    pairing.add_color(0, 'c', now_ns=50 * S)
    assert pairing.poll(S) == []
    assert pairing.next_deadline_ns() == S + TIMEOUT
    assert pairing.poll(S + TIMEOUT - 1) == []
    assert len(pairing.poll(S + TIMEOUT)) == 1


def test_beyond_the_capacity_the_oldest_is_dropped() -> None:
    pairing = make(capacity=3)
    for stamp in range(5):
        pairing.add_color(stamp * PERIOD, f'c{stamp}', 0)
    assert pairing.counts.overflow == 2
    assert [p.color for p in pairing.flush()] == ['c2', 'c3', 'c4']


def test_flush_releases_both_streams_in_order_of_arrival() -> None:
    pairing = make()
    pairing.add_color(0, 'c', 0)
    pairing.add_depth(PERIOD, 'd', 1)
    pairing.add_color(2 * PERIOD, 'c', 2)
    assert [p.stamp_ns for p in pairing.flush()] == [0, PERIOD, 2 * PERIOD]
    assert pairing.pending == 0
    assert pairing.flush() == []


@pytest.mark.parametrize(('name', 'value'), [
    ('tolerance_ns', -1), ('timeout_ns', -1), ('absence_ns', -1), ('capacity', 0)])
def test_limits_are_validated(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f'{name}: expected .* found {value}'):
        make(**{name: value})


def test_a_pair_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Pair(0, 'c', None, 0, 0).stamp_ns = 1  # type: ignore[misc]


@given(st.data(), st.integers(1, 40), st.integers(2, 200))
def test_synchronous_streams_with_jitter_below_the_tolerance_pair_completely(
    data: st.DataObject, frames: int, period_ms: int,
) -> None:
    # Below half a period there is one candidate only, so greedy matching is exact.
    tolerance = period_ms * MS // 2 - 1
    skew = st.integers(-tolerance, tolerance)
    delay = st.integers(0, TIMEOUT // 2 - tolerance) if tolerance < TIMEOUT // 2 else st.just(0)
    arrivals = []
    for index in range(frames):
        stamp = index * period_ms * MS
        arrivals.append((stamp + data.draw(delay), 'color', stamp, index))
        depth_stamp = stamp + data.draw(skew)
        arrivals.append((max(stamp, depth_stamp) + data.draw(delay), 'depth', depth_stamp, index))
    pairing: Pairing[int, int] = Pairing(
        tolerance_ns=tolerance, timeout_ns=TIMEOUT + 1, capacity=2 * frames)
    pairs: list[Pair[int, int]] = []
    for now, kind, stamp, index in sorted(arrivals):
        pairs += getattr(pairing, f'add_{kind}')(stamp, index, now)
    assert sorted(pair.color for pair in pairs) == list(range(frames))  # type: ignore[type-var]
    assert all(pair.color == pair.depth for pair in pairs)
    assert pairing.counts == PairingCounts(frames, 0, 0, 0, 0, 0, 0)


@given(
    st.lists(st.tuples(
        st.integers(S // MS + 1, 20_000),
        st.lists(st.sampled_from(['both', 'color', 'depth']), min_size=1, max_size=6)),
        max_size=12),
    st.booleans())
def test_a_recording_in_bursts_pairs_whatever_is_complete(
    bursts: list[tuple[int, list[str]]], depth_first: bool,
) -> None:
    pairing: Pairing[int, int] = make()
    # Both streams are known to exist.
    pairing.add_color(-60 * S, -1, 0)
    pairing.add_depth(-60 * S, -1, 0)
    now, frame, matched, complete = 0, 0, [], []
    for pause_ms, kinds in bursts:
        now += pause_ms * MS
        for kind in kinds:
            now, frame = now + PERIOD, frame + 1
            if kind == 'both':
                complete.append(frame)
            for stream in ('depth', 'color') if depth_first else ('color', 'depth'):
                if kind in (stream, 'both'):
                    pairs = getattr(pairing, f'add_{stream}')(now, frame, now)
                    matched += [p.color for p in pairs if p.color == p.depth]
    assert matched == complete


@given(st.data())
def test_looped_streams_never_pair_across_loops(data: st.DataObject) -> None:
    # Depth lags behind colour, so colour runs ahead into the next loop while depth still finishes
    # this one. A lag of half the bag or more could not be told from the next loop by stamps alone.
    length = data.draw(st.integers(3, 12))
    lag = data.draw(st.integers(0, min(2, (length - 2) // 2)))
    period = 500 * MS
    color = [(turn, i * period) for turn in range(3) for i in range(length)]
    depth = [(turn, i * period + MS) for turn in range(3) for i in range(length)]
    pairing: Pairing[int, int] = make(timeout_ns=1200 * MS)
    pairs: list[Pair[int, int]] = []
    for index in range(len(color) + lag):
        now = index * period
        if index < len(color):
            pairs += pairing.add_color(color[index][1], color[index][0], now)
        if index >= lag:
            pairs += pairing.add_depth(depth[index - lag][1], depth[index - lag][0], now)
    pairs += pairing.flush()
    matched = [p for p in pairs if p.color is not None and p.depth is not None]
    assert all(pair.color == pair.depth == pair.timeline for pair in matched)
    # At each jump the colour frames whose depth is still to come are released alone.
    assert pairing.counts == PairingCounts(
        matched=3 * length - 2 * lag, lone_color=2 * lag, lone_depth=0, duplicate=0,
        late=2 * lag, overflow=0, time_jumps=2)


STAMPS = st.one_of(
    st.integers(0, 40).map(lambda i: i * 7 * MS),
    st.integers(0, 6 * S),
    st.sampled_from([0, -1, -S, 2**63, -2**63, 10**30]),
)


class PairingMachine(RuleBasedStateMachine):
    """Any sequence of calls, whatever the stamps and the clock."""

    CAPACITY = 4

    def __init__(self) -> None:
        super().__init__()
        self.pairing: Pairing[tuple[str, int], tuple[str, int]] = make(capacity=self.CAPACITY)
        self.now = 0
        self.stamps: dict[tuple[str, int], int] = {}
        self.timelines: dict[tuple[str, int], int] = {}
        self.emitted: Counter[tuple[str, int]] = Counter()

    def check(self, pairs: list[Pair[Any, Any]]) -> None:
        for pair in pairs:
            members = [item for item in (pair.color, pair.depth) if item is not None]
            assert members
            self.emitted.update(members)
            assert pair.stamp_ns == self.stamps[members[0]]
            if pair.color and pair.depth:
                assert pair.color[0] == 'color' and pair.depth[0] == 'depth'
                assert pair.skew_ns == self.stamps[pair.depth] - self.stamps[pair.color]
                assert abs(pair.skew_ns) <= TOLERANCE
            else:
                assert pair.skew_ns == 0
            assert {self.timelines[item] for item in members} == {pair.timeline}

    @rule(kind=st.sampled_from(['color', 'depth']), stamp=STAMPS, step=st.integers(0, 60 * MS))
    def add(self, kind: str, stamp: int, step: int) -> None:
        self.now += step
        item = (kind, len(self.stamps))
        self.stamps[item] = stamp
        pairs = getattr(self.pairing, f'add_{kind}')(stamp, item, self.now)
        self.timelines[item] = self.pairing.counts.time_jumps
        self.check(pairs)

    @rule(index=st.integers(0, 200), step=st.integers(0, 20 * MS))
    def add_synchronous(self, index: int, step: int) -> None:
        self.add('color', index * PERIOD, step)
        self.add('depth', index * PERIOD + MS, step)

    @rule(step=st.integers(-10 * S, 2 * S))
    def poll(self, step: int) -> None:
        self.now += step
        self.check(self.pairing.poll(self.now))

    @rule()
    def poll_at_the_deadline(self) -> None:
        deadline = self.pairing.next_deadline_ns()
        if deadline is not None:
            self.now = deadline
            pairs = self.pairing.poll(self.now)
            assert pairs
            self.check(pairs)

    @rule()
    def flush(self) -> None:
        self.check(self.pairing.flush())
        assert self.pairing.pending == 0

    @invariant()
    def every_item_has_exactly_one_fate(self) -> None:
        counts = self.pairing.counts
        assert len(self.stamps) == (
            2 * counts.matched + counts.lone_color + counts.lone_depth + counts.duplicate
            + counts.late + counts.overflow + self.pairing.pending)
        emitted = 2 * counts.matched + counts.lone_color + counts.lone_depth
        assert sum(self.emitted.values()) == emitted
        assert all(times == 1 for times in self.emitted.values())

    @invariant()
    def memory_is_bounded(self) -> None:
        for stream in (self.pairing._color, self.pairing._depth):
            assert len(stream.pending) <= self.CAPACITY
            assert len(stream.gone) <= self.CAPACITY

    @invariant()
    def waiting_ends(self) -> None:
        deadline = self.pairing.next_deadline_ns()
        assert (deadline is None) == (self.pairing.pending == 0)
        if deadline is not None:
            assert self.now <= deadline <= self.now + TIMEOUT


TestPairingMachine = PairingMachine.TestCase
TestPairingMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
