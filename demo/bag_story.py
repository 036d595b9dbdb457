# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo on a bag: play it, watch the answers, and compare them with the truth."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
import time
from typing import Any

from demo.accuracy import find_truth, read_truth, Score, score
from demo.bag_player import BagPlayer, Pace
from demo.contact_sheet import Answers, draw_contact_sheet, Tile
from demo.errors import DemoError
from demo.frame_samples import FrameSamples, Sample
from demo.messages import stamp_ns
from demo.processes import Children
from demo.screen import Screen, Snapshot
from demo.viewer import Viewer
from demo.watch import start_node, Watch
from edgevl_training.bags import Bag, open_bag, Topic
from edgevl_training.bags.topics import choose_topics
from edgevl_training.errors import SourceError
from rich.table import Table

ANSWER_SECONDS = 2.0
SAMPLES = 12
SHEET_COLUMNS = 4
LOSSES_SHOWN = 5


def tell(options: argparse.Namespace, screen: Screen) -> None:
    """
    Play the bag that the options name.

    :raises DemoError: when the truth cannot be read, the node fails or answers nothing.
    :raises SourceError: when the bag cannot be read, or lacks the topics asked for.
    """
    truth = _truth(options, screen)
    bag = open_bag(options.bag)
    colour, depth = _topics(options, bag, screen)
    player = BagPlayer(colour, depth)
    vocabulary = options.vocabulary or (tuple(dict.fromkeys(truth.values())) or None)
    with Children() as children, start_node(
        children,
        options.output,
        player.remappings,
        bundle=options.bundle,
        vocabulary=vocabulary,
        parameters=player.parameters,
    ) as watch:
        player.offer(watch.viewer)
        screen.say('The node is starting...')
        _wait_until_heard(player, watch)
        samples = FrameSamples(player.leading.count, SAMPLES)
        Show(options, bag, screen, watch, player, samples).play(colour, depth, truth)
        for loss in bag.losses[:LOSSES_SHOWN]:
            screen.say(f'Lost: {loss}')
        _conclude(options, screen, watch, player.frames, samples, truth)


class Show:
    """One playing of a bag."""

    def __init__(
        self,
        options: argparse.Namespace,
        bag: Bag,
        screen: Screen,
        watch: Watch,
        player: BagPlayer,
        samples: FrameSamples,
    ) -> None:
        """Take all that plays a part."""
        self._name = options.bag.name
        self._bag = bag
        self._screen = screen
        self._watch = watch
        self._player = player
        self._samples = samples
        self._pace = Pace(options.rate)
        self._every_frame = options.every_frame
        self._started = time.monotonic()
        self._progress = 0.0
        self._newest_stamp: int | None = None

    def play(
        self, colour: Topic | None, depth: Topic | None, truth: Mapping[int, str]
    ) -> None:
        """Play all that can be read."""
        every_frame = bool(truth) if self._every_frame is None else self._every_frame
        chosen = {topic.name: topic for topic in (colour, depth) if topic is not None}
        for read in self._bag.messages(chosen):
            topic = chosen[read.topic]
            if topic is self._player.leading and every_frame:
                self._wait_for_answer()
            self._wait_until_due(read.time_ns)
            self._publish(topic, read.message, depth)
        self._wait_for_answer()
        self._progress = 1.0
        self._screen.finish(self._snapshot())

    def _publish(
        self, topic: Topic, message: Any, depth: Topic | None
    ) -> None:
        if topic is self._player.leading:
            self._newest_stamp = stamp_ns(message.header)
            self._watch.viewer.sent(self._newest_stamp)
            self._samples.lead(message, topic is depth)
        else:
            self._samples.accompany(message)
        self._player.publish(topic, message)

    def _wait_until_due(self, time_ns: int) -> None:
        self._progress = self._bag.bytes_read / max(1, self._bag.size_bytes)
        while True:
            wait = self._pace.wait_seconds(time_ns)
            self._watch.spin(min(wait, 0.02))
            self._screen.show(self._snapshot())
            if wait <= 0.02:
                return

    def _wait_for_answer(self) -> None:
        until = time.monotonic() + ANSWER_SECONDS
        while self._newest_stamp is not None and time.monotonic() < until:
            if self._newest_stamp in self._watch.viewer.answers:
                return
            self._watch.spin(0.005)

    def _snapshot(self) -> Snapshot:
        viewer, elapsed = self._watch.viewer, time.monotonic() - self._started
        answer = viewer.newest
        return Snapshot(
            picture=self._name,
            vocabulary=viewer.vocabulary,
            labels=answer.labels if answer else (),
            stable_label=viewer.stable_label,
            latency_ms=answer.latency_ms if answer else 0.0,
            frames=len(viewer.answers),
            rate=viewer.rate,
            progress=self._progress,
            seconds_left=elapsed * (1 - self._progress) / max(self._progress, 1e-3),
        )


def _truth(options: argparse.Namespace, screen: Screen) -> dict[int, str]:
    path = options.truth or find_truth(options.bag)
    if path is None:
        return {}
    truth = read_truth(path)
    screen.say(f'Truth: {path} ({len(truth)} frames)')
    return truth


def _topics(
    options: argparse.Namespace, bag: Bag, screen: Screen
) -> tuple[Topic | None, Topic | None]:
    try:
        colour, depth = choose_topics(bag.topics, options.rgb_topic, options.depth_topic)
    except SourceError as error:
        raise SourceError(f'{options.bag}: {error}') from error
    screen.say(f'Bag: {options.bag}, {bag.size_bytes / 1e6:.1f} MB')
    screen.say(f'Colour: {colour or "none"}')
    screen.say(f'Depth: {depth or "none"}')
    return colour, depth


def _wait_until_heard(player: BagPlayer, watch: Watch) -> None:
    watch.wait_until_active()
    while not player.heard:
        watch.spin(0.05)


def _conclude(
    options: argparse.Namespace,
    screen: Screen,
    watch: Watch,
    frames: int,
    samples: FrameSamples,
    truth: Mapping[int, str],
) -> None:
    viewer = watch.viewer
    if not viewer.answers:
        raise DemoError(f'the node answered no frame; the log is {options.output / "node.log"}')
    notes = [
        f'Vocabulary: {", ".join(viewer.vocabulary)}.',
        f'{len(viewer.answers)} of {frames} frames labelled, median time from publication to '
        f'label {viewer.median_latency_ms:.1f} ms.'
    ]
    if truth:
        result = score(truth, {stamp: answer.best for stamp, answer in viewer.answers.items()})
        screen.lay_out(accuracy_table(result))
        total = result.total
        notes.append(
            f'{total.right} of {total.frames} frames right ({total.accuracy:.0%}), '
            f'{total.frames - total.labelled} missed, mean over the labels '
            f'{result.mean_class_accuracy:.0%}.'
        )
    for note in notes[1:]:
        screen.say(note)
    sheet = options.output / 'contact_sheet.png'
    _draw(sheet, options.bag.name, notes, samples.samples, viewer, truth)
    screen.say(f'Frames with their labels: {sheet}')


def accuracy_table(result: Score) -> Table:
    """Lay accuracy out per label, with all frames in the last row."""
    table = Table('label', title='Accuracy', title_justify='left')
    for heading in ('frames', 'labelled', 'right', 'accuracy'):
        table.add_column(heading, justify='right')
    total = result.total
    for row in (*result.rows, total):
        if row is total:
            table.add_section()
        table.add_row(
            row.label, str(row.frames), str(row.labelled), str(row.right), f'{row.accuracy:.0%}'
        )
    table.add_row('mean over the labels', '', '', '', f'{result.mean_class_accuracy:.0%}')
    return table


def _draw(
    sheet: Path,
    name: str,
    notes: list[str],
    samples: list[Sample],
    viewer: Viewer,
    truth: Mapping[int, str],
) -> None:
    if not samples:
        return
    tiles = []
    first_ns = samples[0].stamp_ns
    for sample in samples:
        answer, true_label = viewer.answers.get(sample.stamp_ns), truth.get(sample.stamp_ns)
        seconds = (sample.stamp_ns - first_ns) / 1e9
        title = f'+{seconds:.2f} s' + (f'  truth: {true_label}' if true_label else '')
        tiles.append(
            Tile(
                title,
                sample.picture(),
                [Answers('labels', answer.labels if answer else ())],
                sample.depth if sample.rgb is not None else None,
                None if true_label is None else bool(answer and answer.best == true_label),
            )
        )
    draw_contact_sheet(
        sheet,
        f'edgevl_ros: {name} and what the perception node called it',
        notes,
        tiles,
        min(SHEET_COLUMNS, len(tiles)),
    )
