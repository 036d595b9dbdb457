# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo without a bag: photographs, two vocabularies, and a sheet of both."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
import time

from demo.camera import COLOUR_TOPIC, DEPTH_TOPIC, PASSES
from demo.contact_sheet import Answers, draw_contact_sheet, Tile
from demo.errors import DemoError
from demo.options import FIRST_VOCABULARY
from demo.photographs import load_photographs, Photograph
from demo.processes import Children
from demo.screen import Screen, Snapshot
from demo.viewer import Answer, Viewer
from demo.watch import start_node, Watch
import numpy as np

LAST_ANSWERS_SECONDS = 1.0


@dataclass
class Chapter:
    """What was answered with one vocabulary: the last answer to each picture."""

    heading: str
    vocabulary: Sequence[str]
    from_ns: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)

    def note(self, viewer: Viewer) -> None:
        """Take the newest answer if its frame was taken after this vocabulary was set."""
        answer = viewer.newest
        if answer is not None and answer.stamp_ns >= self.from_ns:
            name = viewer.picture_of(answer)
            if name:
                self.answers[name] = answer


def tell(options: argparse.Namespace, screen: Screen) -> None:
    """
    Run the demo on photographs.

    :raises DemoError: when a process fails, a vocabulary is refused or a picture gets no label.
    """
    chapters = [
        Chapter('before', options.vocabulary or FIRST_VOCABULARY),
        Chapter('after', options.second_vocabulary),
    ]
    with Children() as children, start_node(
        children,
        options.output,
        {'image': COLOUR_TOPIC, 'depth': DEPTH_TOPIC},
        bundle=options.bundle,
        vocabulary=chapters[0].vocabulary,
        # This camera publishes colour and depth at once, so there is nothing to wait for.
        parameters={'pairing_timeout': '0.02'},
    ) as watch:
        camera = children.start(
            'camera',
            ['-m', 'demo.camera', '--seconds', str(options.seconds), '--rate', str(options.rate)],
            options.output / 'camera.log',
        )
        screen.say('The node and a camera are starting...')
        _wait_for_first_label(watch, screen)
        photographs = load_photographs()
        watch.viewer.start_camera()
        while len(watch.viewer.turns) <= len(photographs) and camera.exit_code is None:
            _follow(watch, screen, chapters[:1], len(photographs), options.seconds)
        watch.viewer.set_vocabulary(chapters[1].vocabulary)
        chapters[1].from_ns = time.time_ns()
        screen.say(
            'Vocabulary changed through the parameter service, from '
            f'({", ".join(chapters[0].vocabulary)}) to ({", ".join(chapters[1].vocabulary)}).'
        )
        while camera.exit_code is None:
            _follow(watch, screen, chapters, len(photographs), options.seconds)
        watch.spin(LAST_ANSWERS_SECONDS)
        chapters[1].note(watch.viewer)
        screen.finish(_snapshot(watch.viewer, chapters, 1.0, 0.0))
        _conclude(options.output / 'contact_sheet.png', watch, screen, chapters, photographs)


def _wait_for_first_label(watch: Watch, screen: Screen) -> None:
    watch.wait_until_active()
    while watch.first_label_seconds is None:
        watch.spin(0.05)
    screen.say(f'First label {watch.first_label_seconds:.1f} s after the node was started.')


def _follow(
    watch: Watch,
    screen: Screen,
    chapters: Sequence[Chapter],
    photographs: int,
    seconds: float,
) -> None:
    """Listen for a moment and show what is answered, as part of the last of the chapters."""
    watch.spin(0.02)
    chapters[-1].note(watch.viewer)
    if not chapters[-1].answers:
        return
    progress = (len(watch.viewer.turns) - 1) / (PASSES * photographs)
    screen.show(_snapshot(watch.viewer, chapters, progress, seconds * (1 - progress)))


def _snapshot(
    viewer: Viewer, chapters: Sequence[Chapter], progress: float, seconds_left: float
) -> Snapshot:
    answer = viewer.newest
    assert answer is not None
    names = dict.fromkeys(name for chapter in chapters for name in chapter.answers)
    return Snapshot(
        picture=viewer.picture_of(answer) or viewer.turns[-1],
        vocabulary=chapters[-1].vocabulary,
        labels=answer.labels,
        stable_label=viewer.stable_label,
        latency_ms=answer.latency_ms,
        frames=len(viewer.answers),
        rate=viewer.rate,
        progress=progress,
        seconds_left=seconds_left,
        history_titles=('picture', 'first vocabulary', 'second vocabulary'),
        history=[
            (name, *(_best(chapter.answers.get(name)) for chapter in chapters)) for name in names
        ],
    )


def _best(answer: Answer | None) -> str:
    return f'{answer.labels[0][0]} {answer.labels[0][1]:.0%}' if answer else ''


def _conclude(
    sheet: Path,
    watch: Watch,
    screen: Screen,
    chapters: Sequence[Chapter],
    photographs: Sequence[Photograph],
) -> None:
    draw_contact_sheet(
        sheet,
        'edgevl_ros: photographs and what the perception node called them',
        [
            *(f'Vocabulary {x.heading} the change: {", ".join(x.vocabulary)}.' for x in chapters),
            f'{len(watch.viewer.answers)} frames labelled, median time from camera stamp to '
            f'published label {watch.viewer.median_latency_ms:.1f} ms, first label '
            f'{watch.first_label_seconds:.1f} s after the start.',
        ],
        [_tile(photograph, chapters) for photograph in photographs],
        columns=3,
    )
    screen.say(f'Every picture with its labels: {sheet}')
    missed = [
        f'{photograph.name} ({chapter.heading} the change)'
        for chapter in chapters
        for photograph in photographs
        if photograph.name not in chapter.answers
    ]
    if missed:
        raise DemoError(f'no label for {", ".join(missed)}; the log is in {sheet.parent}')


def _tile(photograph: Photograph, chapters: Sequence[Chapter]) -> Tile:
    depth = None
    if photograph.depth_mm is not None:
        depth = np.where(photograph.depth_mm > 0, photograph.depth_mm / 1000, np.nan)
    answers = [
        Answers(chapter.heading, chapter.answers[photograph.name].labels)
        if photograph.name in chapter.answers
        else Answers(chapter.heading, ())
        for chapter in chapters
    ]
    return Tile(photograph.name, photograph.rgb, answers, depth)
