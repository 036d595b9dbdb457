# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Match the colour and depth streams of one camera by header stamp.

Payloads are opaque: a node pairs undecoded messages and decodes only those that it will use, a bag
reader pairs whatever it read. Nothing here starts a thread, takes a lock or reads a clock; the
caller passes the time of arrival and serialises the calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

C = TypeVar('C')
D = TypeVar('D')

# Stamps of one stream never run this far back except when time itself did: a bag that starts
# over, a simulation that was reset, a clock that was set.
_SMALLEST_TIME_JUMP_NS = 1_000_000_000


@dataclass(frozen=True)
class Pair(Generic[C, D]):
    """
    What the camera saw at one moment: colour, depth or both.

    `stamp_ns` is the colour stamp where there is colour, else the depth stamp. `skew_ns` is the
    depth stamp minus the colour stamp, 0 when one of them is missing. `timeline` counts the jumps
    back in time before this moment; both members of a pair always belong to the same timeline.
    """

    stamp_ns: int
    color: C | None
    depth: D | None
    skew_ns: int
    timeline: int


@dataclass(frozen=True)
class PairingCounts:
    """
    What became of every item so far.

    `matched` counts pairs; the others count items, except for `time_jumps`. Items that were added
    = 2 * matched + lone_color + lone_depth + duplicate + late + overflow + those still pending.
    `late` items came after their counterpart had been released alone, or after the jump back in
    time that ended their timeline.
    """

    matched: int
    lone_color: int
    lone_depth: int
    duplicate: int
    late: int
    overflow: int
    time_jumps: int


@dataclass
class _Waiting:
    """An item that waits for its counterpart."""

    item: Any
    arrival_ns: int


@dataclass
class _Gone:
    """What is remembered of an item that waits no longer."""

    arrival_ns: int
    alone: bool


@dataclass
class _Stream:
    """One of the two streams; both dictionaries are keyed by stamp and ordered by age."""

    pending: dict[int, _Waiting] = field(default_factory=dict)
    gone: dict[int, _Gone] = field(default_factory=dict)
    newest_ns: int | None = None
    last_arrival_ns: int | None = None
    # When it spoke first after a silence longer than the absence.
    speaking_since_ns: int = 0
    timeline: int = 0
    waited_in_vain: bool = False


class Pairing(Generic[C, D]):
    """
    Pair two streams; every method returns what is decided by then, oldest decision first.

    An item is matched with the nearest pending stamp of the other stream within `tolerance_ns`,
    and the pair is emitted at once. With a tolerance below half a frame period there is never a
    second candidate, so this is the nearest stamp of all; with a larger one, waiting for a nearer
    stamp would cost a frame period of latency for every pair and is not done.

    An item without a counterpart is released alone `timeout_ns` after it arrived. Once an item has
    waited in vain and the other stream has been silent for `absence_ns` while this one spoke (or
    was never heard), nothing waits any more until the other stream speaks again. A silence of both
    is no absence: recording may have paused. So a stream slower than `absence_ns` always waits,
    and streams that slow still pair.

    Pairs are emitted when they are decided, not in the order of their stamps: a lone item that
    waited follows a newer match. A consumer that wants only the newest compares stamps within
    one timeline.

    A stamp that lies more than one second (or twice the timeout, if that is longer) behind the
    newest of its stream, or that comes again more than the timeout after its first arrival with
    newer ones between (a looped bag shorter than a second), starts a new timeline. Items that
    wait then are real observations and are released alone. The other stream follows without being
    counted as a second jump: an item of it that is nearer to the old timeline than to the new one
    is a leftover, dropped as `late`, for as long as a jump is (one second or twice the timeout).

    `now_ns` is a monotonic clock in a node and the time of recording in a bag. Where it runs
    backwards (simulated time) it counts as standing still for that one call.
    """

    def __init__(
        self, *, tolerance_ns: int, timeout_ns: int, capacity: int = 32,
        absence_ns: int = 1_000_000_000,
    ) -> None:
        """
        Set the limits, all in nanoseconds but for the capacity in items per stream.

        :param tolerance_ns: largest skew within a pair; best below half a frame period.
        :param timeout_ns: how long an item waits for its counterpart.
        :param capacity: items that wait, and stamps that are remembered, in each stream.
        :param absence_ns: silence after which the other stream is taken for absent.
        :raises ValueError: a limit is negative, or the capacity is below one.
        """
        limits = {'tolerance_ns': tolerance_ns, 'timeout_ns': timeout_ns, 'absence_ns': absence_ns}
        for name, value in limits.items():
            if value < 0:
                raise ValueError(f'{name}: expected 0 or more nanoseconds, found {value}')
        if capacity < 1:
            raise ValueError(f'capacity: expected at least 1 item per stream, found {capacity}')
        self._tolerance_ns = tolerance_ns
        self._timeout_ns = timeout_ns
        self._absence_ns = absence_ns
        self._capacity = capacity
        self._jump_ns = max(_SMALLEST_TIME_JUMP_NS, 2 * timeout_ns)
        self._color = _Stream()
        self._depth = _Stream()
        self._timeline = 0
        self._jumped_at_ns = 0
        # The caller's clock may run backwards; this one is the sum of its steps forward.
        self._clock_ns = 0
        self._now_ns: int | None = None
        self._matched = self._lone_color = self._lone_depth = 0
        self._duplicate = self._late = self._overflow = 0

    def add_color(self, stamp_ns: int, item: C, now_ns: int) -> list[Pair[C, D]]:
        """Take a colour item that arrived at `now_ns`; return the pairs that are decided now."""
        return self._add(self._color, self._depth, stamp_ns, item, now_ns)

    def add_depth(self, stamp_ns: int, item: D, now_ns: int) -> list[Pair[C, D]]:
        """Take a depth item that arrived at `now_ns`; return the pairs that are decided now."""
        return self._add(self._depth, self._color, stamp_ns, item, now_ns)

    def poll(self, now_ns: int) -> list[Pair[C, D]]:
        """Release the items that have waited long enough."""
        self._advance(now_ns)
        return self._release_overdue()

    def flush(self) -> list[Pair[C, D]]:
        """Release everything that waits: nothing more will come, as at the end of a bag."""
        released = []
        while (stream := self._longest_waiting()) is not None:
            released.append(self._release_oldest(stream))
        return released

    def next_deadline_ns(self) -> int | None:
        """Return the `now_ns` at which `poll` will release something, None if nothing waits."""
        deadlines = [self._deadline_ns(s) for s in (self._color, self._depth) if s.pending]
        if not deadlines or self._now_ns is None:
            return None
        return self._now_ns + max(0, min(deadlines) - self._clock_ns)

    @property
    def counts(self) -> PairingCounts:
        """Tell what became of every item so far."""
        return PairingCounts(
            matched=self._matched, lone_color=self._lone_color, lone_depth=self._lone_depth,
            duplicate=self._duplicate, late=self._late, overflow=self._overflow,
            time_jumps=self._timeline)

    @property
    def pending(self) -> int:
        """How many items of both streams wait now."""
        return len(self._color.pending) + len(self._depth.pending)

    def _add(
        self, stream: _Stream, other: _Stream, stamp_ns: int, item: Any, now_ns: int,
    ) -> list[Pair[C, D]]:
        self._advance(now_ns)
        # First, so that the outcome does not depend on how often the caller polls.
        pairs = self._release_overdue()
        if stream.timeline < self._timeline:
            if self._is_leftover(stream, other, stamp_ns):
                stream.newest_ns = stamp_ns
                self._late += 1
                return pairs
            stream.timeline = self._timeline
            stream.newest_ns = None
        elif self._is_time_jump(stream, stamp_ns):
            pairs += self._start_timeline(stream)
        if stamp_ns in stream.pending or stamp_ns in stream.gone:
            self._duplicate += 1
            return pairs
        if stream.newest_ns is None or stamp_ns > stream.newest_ns:
            stream.newest_ns = stamp_ns
        self._hear(stream)
        other.waited_in_vain = False
        return pairs + self._place(stream, other, stamp_ns, item)

    def _hear(self, stream: _Stream) -> None:
        last_ns = stream.last_arrival_ns
        if last_ns is None or self._clock_ns - last_ns > self._absence_ns:
            stream.speaking_since_ns = self._clock_ns
        stream.last_arrival_ns = self._clock_ns

    def _place(
        self, stream: _Stream, other: _Stream, stamp_ns: int, item: Any,
    ) -> list[Pair[C, D]]:
        """Match a new item, drop it as late, or let it wait."""
        match_ns = self._nearest(other.pending, stamp_ns)
        if match_ns is not None:
            counterpart = other.pending.pop(match_ns)
            self._remember(other, match_ns, counterpart.arrival_ns, alone=False)
            self._remember(stream, stamp_ns, self._clock_ns, alone=False)
            self._matched += 1
            if stream is self._color:
                return [self._match(stamp_ns, item, match_ns, counterpart.item)]
            return [self._match(match_ns, counterpart.item, stamp_ns, item)]
        missed_ns = self._nearest((s for s, gone in other.gone.items() if gone.alone), stamp_ns)
        if missed_ns is not None:
            other.gone[missed_ns].alone = False
            self._remember(stream, stamp_ns, self._clock_ns, alone=False)
            self._late += 1
            return []
        stream.pending[stamp_ns] = _Waiting(item, self._clock_ns)
        released = self._release_overdue()
        if len(stream.pending) > self._capacity:
            oldest_ns = next(iter(stream.pending))
            dropped = stream.pending.pop(oldest_ns)
            self._remember(stream, oldest_ns, dropped.arrival_ns, alone=False)
            self._overflow += 1
        return released

    def _advance(self, now_ns: int) -> None:
        if self._now_ns is not None:
            self._clock_ns += max(0, now_ns - self._now_ns)
        self._now_ns = now_ns

    def _nearest(self, stamps: Iterable[int], stamp_ns: int) -> int | None:
        """Return the nearest of some stamps, None if it is farther away than the tolerance."""
        nearest = min(stamps, key=lambda s: abs(s - stamp_ns), default=None)
        if nearest is None or abs(nearest - stamp_ns) > self._tolerance_ns:
            return None
        return nearest

    def _match(self, color_ns: int, color: C, depth_ns: int, depth: D) -> Pair[C, D]:
        return Pair(color_ns, color, depth, depth_ns - color_ns, self._timeline)

    def _remember(self, stream: _Stream, stamp_ns: int, arrival_ns: int, *, alone: bool) -> None:
        stream.gone[stamp_ns] = _Gone(arrival_ns, alone)
        if len(stream.gone) > self._capacity:
            del stream.gone[next(iter(stream.gone))]

    def _is_time_jump(self, stream: _Stream, stamp_ns: int) -> bool:
        if stream.newest_ns is None or stamp_ns >= stream.newest_ns:
            return False
        if stream.newest_ns - stamp_ns > self._jump_ns:
            return True
        earlier = stream.gone.get(stamp_ns)
        return earlier is not None and self._clock_ns - earlier.arrival_ns > self._timeout_ns

    def _is_leftover(self, stream: _Stream, other: _Stream, stamp_ns: int) -> bool:
        """Whether an item of a stream that has not jumped yet belongs to the old timeline."""
        if stream.newest_ns is None or other.newest_ns is None:
            return False
        if self._clock_ns - self._jumped_at_ns > self._jump_ns:
            return False
        if self._is_time_jump(stream, stamp_ns):
            return False
        return abs(stamp_ns - stream.newest_ns) < abs(stamp_ns - other.newest_ns)

    def _start_timeline(self, stream: _Stream) -> list[Pair[C, D]]:
        released = self.flush()
        self._timeline += 1
        self._jumped_at_ns = self._clock_ns
        self._color.gone.clear()
        self._depth.gone.clear()
        stream.timeline = self._timeline
        stream.newest_ns = None
        return released

    def _deadline_ns(self, stream: _Stream) -> int:
        """When the oldest pending item of a stream stops waiting, on this object's clock."""
        other = self._depth if stream is self._color else self._color
        arrival_ns = next(iter(stream.pending.values())).arrival_ns
        deadline_ns = arrival_ns + self._timeout_ns
        if not stream.waited_in_vain:
            return deadline_ns
        if other.last_arrival_ns is None:
            return arrival_ns
        silent_since_ns = max(other.last_arrival_ns, stream.speaking_since_ns)
        return min(deadline_ns, silent_since_ns + self._absence_ns)

    def _longest_waiting(self) -> _Stream | None:
        """Return the stream whose oldest pending item is due first, None if nothing waits."""
        waiting = [stream for stream in (self._color, self._depth) if stream.pending]
        return min(waiting, key=self._deadline_ns, default=None)

    def _release_overdue(self) -> list[Pair[C, D]]:
        released = []
        while (stream := self._longest_waiting()) is not None:
            if self._deadline_ns(stream) > self._clock_ns:
                break
            released.append(self._release_oldest(stream))
            stream.waited_in_vain = True
        return released

    def _release_oldest(self, stream: _Stream) -> Pair[C, D]:
        stamp_ns = next(iter(stream.pending))
        waiting = stream.pending.pop(stamp_ns)
        self._remember(stream, stamp_ns, waiting.arrival_ns, alone=True)
        if stream is self._color:
            self._lone_color += 1
            return Pair(stamp_ns, waiting.item, None, 0, self._timeline)
        self._lone_depth += 1
        return Pair(stamp_ns, None, waiting.item, 0, self._timeline)
