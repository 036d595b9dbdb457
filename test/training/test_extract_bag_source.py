# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a bag gives as a source of pairs, and what it says of itself."""
from __future__ import annotations

from pathlib import Path

from edgevl_ros.core.errors import BadImage
from edgevl_training.pictures import prepare_depth
from edgevl_training.sources.bag_source import BagOptions, BagSource
from edgevl_training.sources.message_pictures import color_picture, depth_picture
from edgevl_training.sources.source import EncodedPicture, SourcePair
import numpy as np
import pytest
from support.camera_bag import (
    CameraBag,
    COLOR,
    DEPTH,
    FRAME,
    jpeg,
    millimetres,
    PERIOD_NS,
    picture,
    png,
    RAW_COLOR,
    RAW_DEPTH,
    START_NS,
    write_pairs,
)
from support.made_bags import image, STORE2

TYPES = STORE2.types
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
PLAIN_DEPTH = f'{RAW_DEPTH}/compressed'


def pairs_of(source: BagSource) -> tuple[list[SourcePair], list[str]]:
    """Give the pairs and the reasons of what is lost."""
    lost: list[str] = []
    return list(source.pairs(lambda _item, reason: lost.append(reason), lambda _bytes: None)), lost


def compressed(kind: str, data: bytes) -> object:
    header = image(TYPES, 0, 'mono8', np.zeros((1, 1), np.uint8)).header
    return TYPES[COMPRESSED](header=header, format=kind, data=np.frombuffer(data, np.uint8))


def test_nothing_is_lost_after_pauses_of_the_recording(tmp_path: Path):
    with CameraBag(tmp_path / 'bag') as bag:
        for number in range(30):
            stamp_ns = START_NS + number * PERIOD_NS + number // 5 * 3_000_000_000
            bag.color(jpeg(picture(number)), stamp_ns)
            if number % 5 != 4:
                bag.depth(png(millimetres(number)), stamp_ns)
    pairs, lost = pairs_of(BagSource(tmp_path / 'bag', 'bag', BagOptions()))
    assert len(pairs) == 24
    assert lost == 6 * ['lone colour']


def test_topics_written_one_after_the_other_pair(tmp_path: Path):
    with CameraBag(tmp_path / 'bag') as bag:
        for number in range(40):
            bag.depth(png(millimetres(number)), START_NS + number * PERIOD_NS)
        for number in range(40):
            bag.color(jpeg(picture(number)), START_NS + number * PERIOD_NS)
    pairs, lost = pairs_of(BagSource(tmp_path / 'bag', 'bag', BagOptions()))
    assert len(pairs) == 40
    assert lost == []


def test_the_topics_are_named_and_so_are_those_not_taken(tmp_path: Path):
    with CameraBag(tmp_path / 'bag') as bag:
        bag.pair(0)
        bag.raw('/rear/color', picture(1), 'rgb8', START_NS)
        bag.raw('/rear/depth', millimetres(1), '16UC1', START_NS)
    source = BagSource(tmp_path / 'bag', 'bag', BagOptions())
    assert source.topics == {'rgb': '/rear/color', 'depth': '/rear/depth'}
    assert source.notes == [
        f'colour is taken from /rear/color and depth from /rear/depth, not from {DEPTH}, {COLOR} '
        '(--rgb-topic and --depth-topic name what is taken)']
    source = BagSource(tmp_path / 'bag', 'bag', BagOptions(modality='rgb'))
    assert source.topics == {'rgb': '/rear/color', 'depth': None}
    assert source.notes == [
        f'colour is taken from /rear/color, not from {COLOR} (--rgb-topic names what is taken)']


def test_without_a_choice_nothing_is_said_of_topics(tmp_path: Path):
    write_pairs(tmp_path / 'plain', 2)
    assert BagSource(tmp_path / 'plain', 'bag', BagOptions()).notes == []
    with CameraBag(tmp_path / 'bag') as bag:
        bag.pair(0)
        bag.raw(RAW_COLOR, picture(1), 'rgb8', START_NS)
    asked = BagOptions(rgb_topic=COLOR, depth_topic=DEPTH)
    assert BagSource(tmp_path / 'bag', 'bag', asked).notes == []


@pytest.mark.parametrize(
    ('color', 'depth', 'nameless'), [('', FRAME, COLOR), (FRAME, '', DEPTH), ('', '/', None)])
def test_a_frame_that_is_not_named_is_no_other_frame(
    tmp_path: Path, color: str, depth: str, nameless: str | None
):
    with CameraBag(tmp_path / 'bag') as bag:
        for number in range(3):
            stamp_ns = START_NS + number * PERIOD_NS
            bag._compressed(COLOR, 'jpeg', jpeg(picture(number)), stamp_ns, None, color)
            bag.depth(png(millimetres(number)), stamp_ns, frame=depth)
    source = BagSource(tmp_path / 'bag', 'bag', BagOptions())
    pairs, lost = pairs_of(source)
    assert (len(pairs), lost) == (3, [])
    assert [note.split()[0] for note in source.notes] == ([nameless] if nameless else [])


@pytest.mark.parametrize('kind', ['16UC1; png compressed ', 'mono16; png compressed ', 'png'])
def test_depth_as_plain_png_is_taken_as_it_is(kind: str):
    data = png(millimetres(3))
    taken = depth_picture(compressed(kind, data))
    assert taken == EncodedPicture(data, 'png')


def test_depth_as_plain_png_makes_pairs(tmp_path: Path):
    with CameraBag(tmp_path / 'bag') as bag:
        for number in range(3):
            stamp_ns = START_NS + number * PERIOD_NS
            bag.color(jpeg(picture(number)), stamp_ns)
            bag._compressed(PLAIN_DEPTH, '16UC1; png compressed ', png(millimetres(number)),
                            stamp_ns, None, FRAME)
    source = BagSource(tmp_path / 'bag', 'bag', BagOptions())
    pairs, lost = pairs_of(source)
    assert source.topics['depth'] == PLAIN_DEPTH
    assert lost == []
    assert [prepare_depth(pair.depth, source.modality).data for pair in pairs] == [
        png(millimetres(number)) for number in range(3)]


@pytest.mark.parametrize('pixels', [
    millimetres(1).astype(np.uint8), picture(1), picture(1).astype(np.uint16)])
def test_a_png_that_only_shows_depth_is_refused(pixels: np.ndarray):
    with pytest.raises(BadImage, match='one channel of 16 bits, found .*--depth-topic'):
        depth_picture(compressed('16UC1; png compressed ', png(pixels)))


def test_remedies_are_those_for_a_bag():
    depth = image(TYPES, 0, '16UC1', millimetres(1))
    color = image(TYPES, 0, 'rgb8', picture(1))
    for take, message, option in (
        (color_picture, depth, '--rgb-topic'), (depth_picture, color, '--depth-topic'),
        (depth_picture, compressed('jpeg', jpeg(picture(1))), '--depth-topic'),
    ):
        with pytest.raises(BadImage) as refused:
            take(message)
        assert 'remap' not in str(refused.value)
        assert str(refused.value).endswith(f'with {option}')
