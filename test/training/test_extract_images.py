# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb extract on folders of images: millimetres whatever the counts, and names of files."""
from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
from edgevl_training.cli import main
from edgevl_training.dataset import SECOND_MODALITY
import numpy as np
import pytest
from support.camera_bag import jpeg, millimetres, picture, png
from support.extracted import decoded, extract, skipped_of

DATA = Path(os.environ.get('EDGEVL_TEST_DATA', ''))
needs_data = pytest.mark.skipif(
    'EDGEVL_TEST_DATA' not in os.environ, reason='EDGEVL_TEST_DATA does not name the test data'
)
MILLIMETRES = {'name': 'depth', 'unit': 'm', 'scale': 0.001, 'missing': [0, 65535]}
COUNTS = np.tile(np.array([0, 1, 87, 255], np.uint8), (48, 16))


def write_folder(folder: Path, second: str = 'depth', **pictures: bytes) -> Path:
    """Write pictures ``rgb/<stem>.jpg`` with those of the second camera."""
    for number, (stem, data) in enumerate(pictures.items()):
        for path, content in (
            (folder / 'rgb' / f'{stem}.jpg', jpeg(picture(number))),
            (folder / second / f'{stem}.png', data),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return folder


def refused(capsys, tmp_path: Path, *options: str | Path) -> str:
    """Run the verb, which is to refuse; give what it says."""
    out = tmp_path / 'out'
    assert main(['extract', '--out', str(out), *map(str, options)]) == 2
    assert not out.exists()
    return capsys.readouterr().err


def test_an_image_folder(tmp_path):
    stills = write_folder(tmp_path / 'stills', s1=png(millimetres(1)), s2=png(millimetres(2)))
    (stills / 'depth' / 's2.png').unlink()
    result = extract(tmp_path, '--images', stills)
    assert [(row['pair_id'], row['item']) for row in result.rows] == [
        ('stills/0/0', 'rgb/s1.jpg'),
    ]
    assert result.rows[0]['color'] == jpeg(picture(0))
    assert result.rows[0]['depth'] == png(millimetres(1))
    assert [(row['item'], row['reason']) for row in result.skipped] == [
        ('rgb/s2.jpg', 'no depth picture of the same stem'),
    ]


def test_depth_of_any_scale_is_stored_in_millimetres(tmp_path):
    stills = write_folder(tmp_path / 'stills', s=png(COUNTS))
    result = extract(tmp_path, '--images', stills, '--second-scale', '0.0392156862745')
    stored = decoded(result.rows[0]['depth'])
    assert stored.dtype == np.uint16
    assert stored[0, :4].tolist() == [0, 39, 3412, 10000]
    assert result.rows[0]['depth_coverage'] == 0.75
    assert result.manifest['second_modality'] == MILLIMETRES
    assert json.loads(result.metadata[0][SECOND_MODALITY]) == MILLIMETRES


def test_depth_beyond_what_16_bits_hold_is_the_farthest_and_no_hole(tmp_path):
    counts = np.tile(np.array([0, 655, 656, 65535], np.uint16), (48, 16))
    stills = write_folder(tmp_path / 'stills', s=png(counts))
    options = ('--second-scale', '0.1', '--second-missing', '655')
    row, = extract(tmp_path, '--images', stills, *options).rows
    assert decoded(row['depth'])[0, :4].tolist() == [0, 0, 65534, 65534]


def test_a_camera_of_another_kind_keeps_its_counts(tmp_path, capsys):
    stills = write_folder(tmp_path / 'stills', 'swir', s=png(COUNTS))
    result = extract(tmp_path, '--images', stills, '--second-scale', '0.004')
    assert decoded(result.rows[0]['depth'])[0, :4].tolist() == [0, 1, 87, 255]
    modality = {'name': 'swir', 'unit': 'full scale', 'scale': 0.004, 'missing': []}
    assert result.manifest['second_modality'] == modality
    assert json.loads(result.metadata[0][SECOND_MODALITY]) == modality
    said = capsys.readouterr().out
    assert 'pixels with a swir reading' in said and 'depth' not in said


def test_folders_of_different_depth_make_one_data_set(tmp_path):
    folders = [
        write_folder(tmp_path / 'a', s=png(COUNTS)),
        write_folder(tmp_path / 'b', s=png(COUNTS.astype(np.uint16))),
    ]
    options = ('--second-scale', '0.01', '--second-missing', '0')
    rows = extract(tmp_path, '--images', *folders, *options).rows
    assert [decoded(row['depth'])[0, :4].tolist() for row in rows] == [[0, 10, 870, 2550]] * 2


def test_different_cameras_in_one_data_set_are_refused_in_words(tmp_path, capsys):
    folders = [
        write_folder(tmp_path / 'near', s=png(millimetres(1))),
        write_folder(tmp_path / 'far', 'swir', s=png(COUNTS)),
    ]
    said = refused(capsys, tmp_path, '--images', *folders)
    assert 'depth (0.001 m a count) in near, swir (0.00392157 full scale a count) in far' in said


def test_colour_alone_needs_no_unit_of_depth(tmp_path, capsys):
    stills = write_folder(tmp_path / 'stills', a=png(COUNTS), b=b'no picture')
    result = extract(tmp_path, '--images', stills, '--modality', 'rgb')
    assert [row['item'] for row in result.rows] == ['rgb/a.jpg', 'rgb/b.jpg']
    assert result.rows[0]['depth'] is None and result.skipped == []
    assert result.manifest['second_modality'] is None and result.metadata == [{}]
    options = ('--images', stills, '--modality', 'rgb', '--second-scale', '1')
    (tmp_path / 'other').mkdir()
    assert '--second-scale: goes with --modality both' in refused(
        capsys, tmp_path / 'other', *options
    )


def test_an_output_inside_a_source_is_refused(tmp_path, capsys):
    stills = write_folder(tmp_path / 'stills', s=png(millimetres(1)))
    said = refused(capsys, stills, '--images', stills)
    assert 'expected an --out outside of the sources' in said


def test_why_there_is_no_pair_is_said_with_an_example_and_stays_listed(tmp_path, capsys):
    empty = png(np.zeros((48, 64), np.uint16))
    stills = write_folder(tmp_path / 'stills', a=empty, b=empty)
    out = tmp_path / 'out'
    options = ['extract', '--out', str(out), '--images', str(stills)]
    assert main(options) == 1
    said = capsys.readouterr().err
    assert '2 unusable depth' in said and '--max-skew' not in said
    assert 'for example stills: rgb/a.jpg: expected at least one pixel with a reading' in said
    assert '--modality rgb takes colour alone' in said
    assert [row['item'] for row in skipped_of(out)] == ['rgb/a.jpg', 'rgb/b.jpg']
    assert [path.name for path in out.iterdir() if path.name != '.lock'] == ['skipped.csv']
    assert main([*options, '--modality', 'rgb']) == 0


@needs_data
def test_real_8_bit_depth_becomes_millimetres(tmp_path):
    folder = DATA / 'nyuv2_train'
    result = extract(tmp_path, '--images', folder, '--second-scale', '0.0392156862745')
    assert len(result.rows) == 795
    for row in result.rows[::100]:
        file = folder / 'depth' / Path(row['item']).with_suffix('.png').name
        counts = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        expected = np.rint(counts * 39.2156862745)
        assert np.array_equal(decoded(row['depth']), expected)


@needs_data
def test_another_second_modality(tmp_path):
    result = extract(tmp_path, '--images', DATA / 'eurosat_sample')
    assert len(result.rows) == 100
    assert result.manifest['second_modality']['name'] == 'swir'
    assert {row['depth_coverage'] for row in result.rows} == {1.0}
    assert decoded(result.rows[0]['depth']).dtype == np.uint16
    assert all(row['truth'] for row in result.rows)
    assert result.manifest['counts']['with_truth'] == 100
