# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The contact sheet is one readable PNG, written as a whole."""

from pathlib import Path

import cv2
from demo.contact_sheet import Answers, draw_contact_sheet, Tile
import numpy as np
import pytest

LABELS = [('kitchen', 0.7), ('office', 0.2), ('a label that is much too long to be shown', 0.1)]


def tile(colour: tuple[int, int, int], right: bool | None = None, depth: bool = False) -> Tile:
    rgb = np.full((240, 320, 3), colour, np.uint8)
    metres = np.linspace(1, 4, 48 * 64).reshape(48, 64) if depth else None
    answers = [Answers('before', LABELS), Answers('after', [])]
    return Tile('a frame', rgb, answers, metres, right)


def has_colour(image: np.ndarray, rgb: tuple[int, int, int]) -> bool:
    return bool((np.abs(image[..., ::-1].astype(int) - rgb).max(axis=2) <= 3).sum() > 5000)


def test_shows_every_picture(tmp_path: Path):
    path = tmp_path / 'sheet.png'
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (90, 10, 120)]
    draw_contact_sheet(
        path, 'title', ['a note', 'word ' * 80], [tile(c, depth=True) for c in colours], 3
    )
    image = cv2.imread(str(path))
    assert image.shape[1] > 1000
    assert all(has_colour(image, colour) for colour in colours)
    assert not has_colour(image, (120, 120, 10))
    assert [file.name for file in tmp_path.iterdir()] == ['sheet.png']


def test_right_and_wrong_look_different(tmp_path: Path):
    images = []
    for name, right in (('right', True), ('wrong', False), ('open', None)):
        path = tmp_path / f'{name}.png'
        draw_contact_sheet(path, 'title', [], [tile((0, 0, 0), right)], 1)
        images.append(cv2.imread(str(path)))
    assert not np.array_equal(images[0], images[1])
    assert not np.array_equal(images[1], images[2])


def test_a_failed_sheet_leaves_the_old_one(tmp_path: Path):
    path = tmp_path / 'sheet.png'
    path.write_bytes(b'old')
    with pytest.raises(TypeError):
        draw_contact_sheet(path, 'title', [], [Tile('x', np.zeros((9, 9), 'S1'), [])], 1)
    assert path.read_bytes() == b'old'


def test_depth_without_any_reading_is_drawn(tmp_path: Path):
    blind = Tile('blind', np.zeros((9, 12, 3), np.uint8), [], np.full((9, 12), np.nan))
    draw_contact_sheet(tmp_path / 'sheet.png', 'title', [], [blind], 1)
    assert (tmp_path / 'sheet.png').stat().st_size > 1000
