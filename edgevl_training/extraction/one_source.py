# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One source into its shards: examined on threads, decided in order, resumable at every shard."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from edgevl_ros.core.errors import BadImage
from edgevl_training.dataset import described, PAIRS, ShardWriter
from edgevl_training.errors import SourceError
from edgevl_training.extraction.journal import Journal, LEFT_OUT, SkippedList
from edgevl_training.extraction.recipe import ExtractRecipe
from edgevl_training.extraction.selection import Selection, Skip
from edgevl_training.pictures import ColorPicture, DepthPicture, prepare_color, prepare_depth
from edgevl_training.sources.bag_source import BagSource
from edgevl_training.sources.source import Source, SourcePair

# Pairs in flight for each thread, and lost items that may wait behind them.
_PAIRS_PER_THREAD = 2
_LONGEST_QUEUE = 1000
# A note is for a person; a bag that changes all the time says so often enough.
_MOST_NOTES = 20


@dataclass(frozen=True)
class _Kept:
    """The pictures of a pair that passed all that can be judged by itself."""

    color: ColorPicture
    depth: DepthPicture | None


@dataclass(frozen=True)
class _Event:
    """A pair on its way, or an item that the source lost."""

    item: str
    outcome: Future[_Kept | Skip] | _Kept | Skip
    pair: SourcePair | None = None


def extract_source(
    source: Source, recipe: ExtractRecipe, index: int, threads: int,
    advance: Callable[[int], None],
) -> Journal:
    """
    Write the shards of one source, or those that an earlier run did not; give its journal.

    :param index: the place of the source among all, which names its shards.
    :param advance: told of the bytes read.
    """
    journal = Journal.read(recipe.out, index)
    if journal.finished:
        advance(source.size_bytes)
        return journal
    with ThreadPoolExecutor(threads) as pool:
        extraction = Extraction(source, recipe, index, journal, pool, threads)
        try:
            extraction.run(advance)
        finally:
            extraction.close()
    return journal


class Extraction:
    """
    One source on its way into shards.

    Every pair and every lost item is an event. Events are decided in the order of the source,
    whatever the threads do, and the journal counts them: a resumed run passes over as many,
    unexamined, and goes on as if nothing had happened.
    """

    def __init__(
        self, source: Source, recipe: ExtractRecipe, index: int, journal: Journal,
        pool: ThreadPoolExecutor, threads: int,
    ) -> None:
        """Go on where the journal ends."""
        self._source = source
        self._recipe = recipe
        self._index = index
        self._journal = journal
        self._selection = Selection(recipe, journal.selection)
        self._skipped = SkippedList(recipe.out, index, journal.skipped_bytes)
        self._pool = pool
        self._most_in_flight = _PAIRS_PER_THREAD * threads
        self._in_flight = 0
        self._queue: deque[_Event] = deque()
        self._to_pass = journal.events
        modality = source.modality.stored if recipe.modality == 'both' else None
        self._schema = described(PAIRS, modality)
        self._shard: ShardWriter | None = None
        self._shard_bytes = 0

    def run(self, advance: Callable[[int], None]) -> None:
        """Take all that the source gives, and close its journal."""
        try:
            for pair in self._source.pairs(self._lose, advance):
                self._take(pair)
        except SourceError as error:
            self._journal.refused = str(error)
        while self._queue:
            self._decide_oldest()
        if self._journal.refused:
            self._skip(self._source.name, '', Skip(LEFT_OUT, self._journal.refused))
        self._add_what_the_bag_says()
        self._finish_shard()
        self._journal.finished = True
        self._write_journal()

    def close(self) -> None:
        """Let go of all files; a shard that is not whole is removed."""
        self._skipped.close()
        if self._shard is not None:
            self._shard.discard()

    def _lose(self, item: str, reason: str) -> None:
        """Take an item that the source lost; what follows a colon are particulars."""
        if not self._passed():
            kind, _, detail = reason.partition(': ')
            self._queue.append(_Event(item, Skip(kind, detail)))
            if len(self._queue) > _LONGEST_QUEUE:
                self._decide_oldest()

    def _take(self, pair: SourcePair) -> None:
        if self._passed():
            return
        outcome: Future[_Kept | Skip] | _Kept | Skip
        if self._selection.depends_on_last:
            while self._queue:
                self._decide_oldest()
            outcome = self._selection.by_time(pair) or self._examine(pair)
        else:
            outcome = self._pool.submit(self._examine, pair)
            self._in_flight += 1
        self._queue.append(_Event(self._name(pair), outcome, pair))
        while self._in_flight > self._most_in_flight:
            self._decide_oldest()

    def _item(self, pair: SourcePair) -> str:
        """Give the file of the colour picture, or the colour topic of a bag."""
        if isinstance(self._source, BagSource):
            return self._source.topics['rgb'] or ''
        return pair.item

    def _name(self, pair: SourcePair) -> str:
        """Name a pair as its source names what it loses: by file, or by topic and stamp."""
        item = self._item(pair)
        return f'{item} {pair.color_stamp_ns}' if isinstance(self._source, BagSource) else item

    def _passed(self) -> bool:
        """Tell whether an earlier run decided on this event."""
        if self._to_pass == 0:
            return False
        self._to_pass -= 1
        return True

    def _examine(self, pair: SourcePair) -> _Kept | Skip:
        """Prepare the pictures of a pair as far as it is worth it; runs on any thread."""
        recipe = self._recipe
        try:
            color = prepare_color(pair.color, recipe.color_format, recipe.jpeg_quality)
        except BadImage as error:
            return Skip('unusable colour', str(error))
        skip = self._selection.by_color(pair, color)
        if skip or recipe.modality == 'rgb':
            return skip or _Kept(color, None)
        if pair.depth is None:
            return Skip('lone colour')
        try:
            depth = prepare_depth(pair.depth, self._source.modality)
        except BadImage as error:
            return Skip('unusable depth', str(error))
        return self._selection.by_depth(depth) or _Kept(color, depth)

    def _decide_oldest(self) -> None:
        event = self._queue.popleft()
        outcome = event.outcome
        if isinstance(outcome, Future):
            outcome = outcome.result()
            self._in_flight -= 1
        if isinstance(outcome, Skip):
            bag = event.pair.bag if event.pair else self._source.name
            self._skip(bag, event.item, outcome)
        elif event.pair is not None:
            self._keep(event.pair, outcome)
        self._journal.events += 1
        if self._shard_bytes >= self._recipe.shard_mb * 1e6:
            self._finish_shard()
            self._write_journal()

    def _skip(self, bag: str, item: str, skip: Skip) -> None:
        self._journal.tally.count_skipped(skip.reason)
        self._skipped.add((bag, item, skip.reason, skip.detail))

    def _keep(self, pair: SourcePair, kept: _Kept) -> None:
        self._selection.keep(pair, kept.color)
        row = _row(pair, self._item(pair), kept)
        if self._shard is None:
            name = f'shard-{self._index:05d}-{len(self._journal.shards):05d}.parquet'
            self._shard = ShardWriter(self._recipe.out / name, self._schema)
        self._shard.add(row)
        self._shard_bytes += len(row['color']) + len(row['depth'] or b'')
        self._journal.tally.count_pair(
            row['skew_ns'], row['depth_coverage'], row['truth'] is not None
        )
        if kept.depth is not None:
            self._note_sizes(kept.color, kept.depth)

    def _note_sizes(self, color: ColorPicture, depth: DepthPicture) -> None:
        if (color.width, color.height) == (depth.width, depth.height):
            return
        shape = '' if color.width * depth.height == color.height * depth.width else (
            ', of another shape'
        )
        self._note(
            f'depth is {depth.width}x{depth.height} and colour {color.width}x{color.height}{shape}'
        )

    def _note(self, note: str) -> None:
        if note not in self._journal.notes and len(self._journal.notes) < _MOST_NOTES:
            self._journal.notes.append(note)

    def _add_what_the_bag_says(self) -> None:
        if not isinstance(self._source, BagSource):
            return
        self._journal.topics = dict(self._source.topics)
        for note in self._source.notes:
            self._note(note)
        for loss in self._source.losses:
            self._journal.losses.append(asdict(loss))
            skip = Skip('damage of the bag', f'{loss.what}: {loss.why}')
            self._skip(self._source.name, loss.where, skip)

    def _finish_shard(self) -> None:
        if self._shard is not None:
            self._journal.shards.append(self._shard.close())
            self._shard, self._shard_bytes = None, 0

    def _write_journal(self) -> None:
        self._journal.selection = self._selection.state
        self._journal.skipped_bytes = self._skipped.sync()
        self._journal.write(self._recipe.out, self._index)


def _row(pair: SourcePair, item: str, kept: _Kept) -> dict[str, Any]:
    color, depth = kept.color, kept.depth
    row: dict[str, Any] = {
        'pair_id': f'{pair.bag}/{pair.timeline}/{pair.color_stamp_ns}',
        'bag': pair.bag,
        'item': item,
        'timeline': pair.timeline,
        'color_stamp_ns': pair.color_stamp_ns,
        'frame_id': pair.frame_id,
        'color': color.data,
        'color_format': color.format,
        'color_width': color.width,
        'color_height': color.height,
        'sharpness': color.sharpness,
        'perceptual_hash': color.perceptual_hash,
        'truth': pair.truth,
        **dict.fromkeys((
            'depth', 'depth_stamp_ns', 'skew_ns', 'depth_frame_id', 'depth_width', 'depth_height',
            'depth_coverage',
        )),
    }
    if depth is not None:
        stamp_ns = pair.depth_stamp_ns
        row |= {
            'depth': depth.data,
            'depth_stamp_ns': stamp_ns,
            'skew_ns': None if stamp_ns is None else stamp_ns - pair.color_stamp_ns,
            'depth_frame_id': pair.depth_frame_id,
            'depth_width': depth.width,
            'depth_height': depth.height,
            'depth_coverage': depth.coverage,
        }
    return row
