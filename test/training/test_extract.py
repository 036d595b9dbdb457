# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb extract on bags: real ones, and ones made with every kind of trouble."""
from __future__ import annotations

from collections import Counter
import csv
import json
import os
from pathlib import Path
import subprocess
import sys

import cv2
from edgevl_training.cli import main
import numpy as np
import pyarrow.parquet as pq
import pytest
from rosbags.highlevel import AnyReader
from support.camera_bag import (
    CameraBag,
    COLOR,
    DEPTH,
    jpeg,
    millimetres,
    PERIOD_NS,
    picture,
    png,
    RAW_COLOR,
    RAW_DEPTH,
    SKEW_NS,
    START_NS,
    write_pairs,
)
from support.extracted import decoded, extract
from support.source_tree import ROOT

BAGS = Path(os.environ.get('EDGEVL_TEST_DATA', '')) / 'bags'
needs_data = pytest.mark.skipif(
    'EDGEVL_TEST_DATA' not in os.environ, reason='EDGEVL_TEST_DATA does not name the test data'
)
OTHER_FRAME = 'camera_depth_optical_frame'


@needs_data
def test_a_real_bag_gives_every_pair_as_it_was_recorded(tmp_path, capsys):
    bag = BAGS / 'nyu_tour'
    result = extract(tmp_path, '--bags', bag, '--truth', BAGS / 'nyu_tour_truth.csv')
    assert len(result.rows) == 100
    assert {row['skew_ns'] for row in result.rows} == {4_000_000}
    assert result.manifest['counts']['skew_ms'] == {'median': 4.0, 'p95': 4.0}
    assert result.skipped == []
    with AnyReader([bag]) as reader:
        for connection, _, raw in reader.messages():
            if connection.topic not in (COLOR, DEPTH):
                continue
            message = reader.deserialize(raw, connection.msgtype)
            stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            if connection.topic == COLOR:
                row = next(r for r in result.rows if r['color_stamp_ns'] == stamp_ns)
                assert row['color'] == message.data.tobytes()
                assert row['frame_id'] == message.header.frame_id
            else:
                row = next(r for r in result.rows if r['depth_stamp_ns'] == stamp_ns)
                assert np.array_equal(decoded(row['depth']), decoded(message.data[12:].tobytes()))
    truth = dict(csv.reader((BAGS / 'nyu_tour_truth.csv').read_text('utf-8').splitlines()))
    assert all(row['truth'] == truth[str(row['color_stamp_ns'])] for row in result.rows)
    assert '100 pairs' in capsys.readouterr().out


@needs_data
def test_real_raw_depth_is_kept_to_the_millimetre(tmp_path):
    bag = BAGS / 'redkitchen_raw'
    result = extract(tmp_path, '--bags', bag, '--color-format', 'png')
    assert len(result.rows) == 7
    with AnyReader([bag]) as reader:
        for connection, _, raw in reader.messages():
            if connection.msgtype != 'sensor_msgs/msg/Image':
                continue
            message = reader.deserialize(raw, connection.msgtype)
            stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            if connection.topic == RAW_COLOR:
                row = next(r for r in result.rows if r['color_stamp_ns'] == stamp_ns)
                rgb = message.data.reshape(message.height, message.width, 3)
                assert np.array_equal(decoded(row['color'])[..., ::-1], rgb)
            else:
                row = next(r for r in result.rows if r['depth_stamp_ns'] == stamp_ns)
                depth = message.data.view(np.uint16).reshape(message.height, message.width)
                expected = np.where(depth == 65535, 0, depth)
                assert np.array_equal(decoded(row['depth']), expected)
                assert row['depth_coverage'] == pytest.approx(np.mean(expected > 0))


def test_columns_of_a_pair(tmp_path):
    result = extract(tmp_path, '--bags', write_pairs(tmp_path / 'walk', 3))
    row = result.rows[1]
    stamp_ns = START_NS + PERIOD_NS
    assert row['pair_id'] == f'walk/0/{stamp_ns}'
    assert (row['bag'], row['item'], row['timeline']) == ('walk', COLOR, 0)
    assert row['depth_stamp_ns'] - row['color_stamp_ns'] == row['skew_ns'] == SKEW_NS
    assert row['color'] == jpeg(picture(1)) and row['depth'] == png(millimetres(1))
    assert (row['color_width'], row['color_height']) == (64, 48)
    assert (row['depth_width'], row['depth_height']) == (64, 48)
    assert row['truth'] is None and row['color_format'] == 'jpeg'
    assert not (tmp_path / 'out' / 'work').exists()


def test_lone_images_are_listed(tmp_path):
    with CameraBag(tmp_path / 'bag') as bag:
        bag.pair(0)
        bag.color(jpeg(picture(1)), START_NS + PERIOD_NS)
        bag.depth(png(millimetres(2)), START_NS + 2 * PERIOD_NS)
        bag.pair(3)
    result = extract(tmp_path, '--bags', tmp_path / 'bag')
    assert result.numbers() == [0, 3]
    assert {(row['item'], row['reason']) for row in result.skipped} == {
        (f'{COLOR} {START_NS + PERIOD_NS}', 'lone colour'),
        (f'{DEPTH} {START_NS + 2 * PERIOD_NS}', 'lone depth'),
    }


def test_depth_that_is_recorded_late_still_pairs(tmp_path):
    with CameraBag(tmp_path / 'bag') as bag:
        for number in range(8):
            stamp_ns = START_NS + number * PERIOD_NS
            bag.color(jpeg(picture(number)), stamp_ns)
            if number >= 3:
                early_ns = stamp_ns - 3 * PERIOD_NS
                bag.depth(png(millimetres(number - 3)), early_ns, time_ns=stamp_ns)
    result = extract(tmp_path, '--bags', tmp_path / 'bag')
    assert result.numbers() == [0, 1, 2, 3, 4]
    assert {row['skew_ns'] for row in result.rows} == {0}


def test_a_looped_recording_has_timelines(tmp_path):
    with CameraBag(tmp_path / 'bag') as bag:
        for time_number, number in enumerate([*range(15), *range(15)]):
            stamp_ns = START_NS + number * PERIOD_NS
            time_ns = START_NS + time_number * PERIOD_NS
            bag.color(jpeg(picture(number)), stamp_ns, time_ns)
            bag.depth(png(millimetres(number)), stamp_ns, time_ns + 1)
    result = extract(tmp_path, '--bags', tmp_path / 'bag')
    assert Counter(row['timeline'] for row in result.rows) == {0: 15, 1: 15}
    assert len({row['pair_id'] for row in result.rows}) == 30


def test_damaged_images_are_counted_and_the_rest_is_kept(tmp_path, capsys):
    with CameraBag(tmp_path / 'bag') as bag:
        whole = jpeg(picture(1)), png(millimetres(1))
        damaged = [
            (b'', whole[1]), (whole[0][:300], whole[1]), (b'nonsense' * 9, whole[1]),
            (whole[0], whole[1][:300]), (whole[0], b''), (whole[0], b'nonsense' * 9),
            (whole[0], png(np.zeros((4, 4), np.uint16))),
        ]
        for number, (color, depth) in enumerate(damaged):
            stamp_ns = START_NS + number * PERIOD_NS
            bag.color(color, stamp_ns)
            bag.depth(depth, stamp_ns + SKEW_NS)
        bag.pair(len(damaged))
    result = extract(tmp_path, '--bags', tmp_path / 'bag')
    assert result.numbers() == [7]
    assert result.manifest['counts']['skipped'] == {'unusable colour': 3, 'unusable depth': 4}
    assert all(row['detail'] for row in result.skipped)
    assert result.skipped[0]['item'] == f'{COLOR} {START_NS}'
    said = capsys.readouterr().out
    assert 'unusable colour, for example bag: ' in said and 'unusable depth, for example ' in said


def test_raw_images_of_every_unit(tmp_path):
    depth = millimetres(1)
    metres = np.where(depth == 0, np.float32('nan'), depth / np.float32(1000)).astype(np.float32)
    bgr = np.ascontiguousarray(picture(1)[..., ::-1])
    frames = [
        (bgr, 'bgr8', metres, '32FC1'),
        (picture(1), 'rgb8', depth.astype('>u2').view('<u2').byteswap(), '16UC1'),
        (bgr, 'bgr8', np.full((4, 4), np.nan, np.float32), '32FC1'),
        (bgr, 'bgr8', np.zeros((0, 0), np.uint16), '16UC1'),
        (np.zeros((0, 0, 3), np.uint8), 'rgb8', depth, '16UC1'),
        (bgr, 'bgr8', metres[:10], 'rgb8'),
    ]
    with CameraBag(tmp_path / 'bag') as bag:
        for number, (color, kind, second, unit) in enumerate(frames):
            stamp_ns = START_NS + number * PERIOD_NS
            bag.raw(RAW_COLOR, color, kind, stamp_ns)
            bag.raw(RAW_DEPTH, second, unit, stamp_ns)
    result = extract(tmp_path, '--bags', tmp_path / 'bag', '--color-format', 'png')
    assert result.numbers() == [0, 1]
    for row in result.rows:
        assert np.array_equal(decoded(row['depth']), depth)
        assert np.array_equal(decoded(row['color']), bgr)
    assert result.manifest['counts']['skipped'] == {'unusable colour': 1, 'unusable depth': 3}


def test_raw_colour_is_stored_as_jpeg_of_the_quality_asked_for(tmp_path):
    with CameraBag(tmp_path / 'bag') as bag:
        bag.raw(RAW_COLOR, picture(1), 'rgb8', START_NS)
        bag.raw(RAW_DEPTH, millimetres(1), '16UC1', START_NS)
    row = extract(tmp_path, '--bags', tmp_path / 'bag', '--jpeg-quality', '60').rows[0]
    expected = cv2.imencode('.jpg', picture(1)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    assert row['color'] == expected.tobytes() and row['color_format'] == 'jpeg'


def test_another_size_of_depth_is_reported(tmp_path, capsys):
    with CameraBag(tmp_path / 'bag') as bag:
        bag.pair(0, depth=millimetres(0, 32, 24))
        bag.pair(1, depth=millimetres(1, 32, 32))
    result = extract(tmp_path, '--bags', tmp_path / 'bag')
    assert len(result.rows) == 2
    notes = result.manifest['by_source'][0]['notes']
    assert 'depth is 32x24 and colour 64x48' in notes
    assert 'depth is 32x32 and colour 64x48, of another shape' in notes
    assert 'depth is 32x24' in capsys.readouterr().out


def write_unregistered(path: Path, known: bool) -> Path:
    """Write a bag whose depth is of another frame than its colour."""
    with CameraBag(path) as bag:
        bag.pair(0, depth_frame=OTHER_FRAME)
        bag.pair(1, depth_frame=OTHER_FRAME)
        if known:
            bag.static_transform('camera_link', 'camera_color_optical_frame', 0.015)
            bag.static_transform('camera_link', OTHER_FRAME, 0.040)
    return path


def test_depth_of_another_frame_is_reported_with_its_transform(tmp_path, capsys):
    result = extract(tmp_path, '--bags', write_unregistered(tmp_path / 'bag', known=True))
    assert len(result.rows) == 2
    assert result.rows[0]['depth_frame_id'] == OTHER_FRAME
    note, = result.manifest['by_source'][0]['notes']
    assert OTHER_FRAME in note and 'translation (0.0250, 0.0000, 0.0000) m' in note
    assert note in capsys.readouterr().out


def test_depth_of_an_unknown_frame_is_refused_and_other_bags_go_on(tmp_path, capsys):
    unknown = write_unregistered(tmp_path / 'unknown', known=False)
    result = extract(tmp_path, '--bags', unknown, write_pairs(tmp_path / 'known', 2))
    assert {row['bag'] for row in result.rows} == {'known'}
    refused = {source['name']: source['refused'] for source in result.manifest['by_source']}
    assert refused['known'] is None
    assert OTHER_FRAME in refused['unknown'] and '--allow-unregistered' in refused['unknown']
    left_out, = result.skipped
    assert (left_out['bag'], left_out['item'], left_out['reason'], left_out['detail']) == (
        'unknown', '', 'source left out', refused['unknown'],
    )
    said = capsys.readouterr().out
    assert '--allow-unregistered' in said and 'left out: 1 source left out' in said


def test_depth_of_an_unknown_frame_is_taken_if_asked_for(tmp_path):
    unknown = write_unregistered(tmp_path / 'bag', known=False)
    result = extract(tmp_path, '--bags', unknown, '--allow-unregistered', 'true')
    assert len(result.rows) == 2
    assert 'no transform' in result.manifest['by_source'][0]['notes'][0]


def write_color_only(path: Path) -> Path:
    """Write a bag without depth."""
    with CameraBag(path) as bag:
        for number in range(30):
            bag.color(jpeg(picture(number)), START_NS + number * PERIOD_NS)
    return path


def test_a_bag_without_depth_says_so_and_offers_colour_alone(tmp_path, capsys):
    bag = write_color_only(tmp_path / 'bag')
    assert main(['extract', '--out', str(tmp_path / 'out'), '--bags', str(bag)]) == 2
    message = capsys.readouterr().err
    assert 'no depth' in message and '--modality rgb' in message
    result = extract(tmp_path, '--bags', bag, '--modality', 'rgb')
    assert result.numbers() == list(range(30))
    assert result.rows[0]['depth'] is None and result.rows[0]['skew_ns'] is None
    assert result.manifest['second_modality'] is None


def test_a_bag_without_depth_does_not_stop_the_others(tmp_path, capsys):
    bags = [write_color_only(tmp_path / 'a'), write_pairs(tmp_path / 'b', 2)]
    result = extract(tmp_path, '--bags', *bags)
    assert {row['bag'] for row in result.rows} == {'b'}
    assert '--modality rgb' in result.manifest['by_source'][0]['refused']
    assert result.manifest['counts']['skipped'] == {'source left out': 1}
    assert '--modality rgb' in result.skipped[0]['detail']
    said = capsys.readouterr()
    assert '--modality rgb' in said.err and 'left out: nothing' not in said.out


def test_colour_alone_of_a_bag_with_depth(tmp_path):
    bag = write_pairs(tmp_path / 'bag', 5)
    result = extract(tmp_path, '--bags', bag, '--modality', 'rgb')
    assert result.numbers() == list(range(5)) and result.skipped == []
    assert all(row['depth'] is None for row in result.rows)


def test_an_unknown_topic_lists_those_that_exist(tmp_path, capsys):
    bag = write_pairs(tmp_path / 'bag', 1)
    arguments = ['extract', '--out', str(tmp_path / 'out'), '--bags', str(bag)]
    assert main([*arguments, '--depth-topic', '/depth']) == 2
    message = capsys.readouterr().err
    assert '/depth' in message and COLOR in message and DEPTH in message
    assert not (tmp_path / 'out').exists()


def test_topics_can_be_given(tmp_path, capsys):
    with CameraBag(tmp_path / 'bag') as bag:
        bag.pair(0)
        bag.raw('/other/color', picture(9), 'rgb8', START_NS)
        bag.raw('/other/depth', millimetres(9), '16UC1', START_NS)
    result = extract(
        tmp_path, '--bags', tmp_path / 'bag', '--rgb-topic', '/other/color', '--depth-topic',
        '/other/depth',
    )
    assert np.array_equal(decoded(result.rows[0]['depth']), millimetres(9))
    chosen = result.manifest['by_source'][0]['topics']
    assert sorted(chosen.values()) == ['/other/color', '/other/depth']
    said = capsys.readouterr().out
    assert 'topics: ' in said and '/other/color' in said and '/other/depth' in said


def test_two_bags_of_one_name_are_told_apart(tmp_path):
    for day in ('monday', 'tuesday'):
        (tmp_path / day).mkdir()
    bags = [write_pairs(tmp_path / day / 'walk', 2) for day in ('monday', 'tuesday')]
    result = extract(tmp_path, '--bags', *bags, write_pairs(tmp_path / 'run', 1))
    assert Counter(row['bag'] for row in result.rows) == {
        'monday/walk': 2, 'tuesday/walk': 2, 'run': 1,
    }
    assert len({row['pair_id'] for row in result.rows}) == 5


def test_truth_of_several_bags(tmp_path, capsys):
    bags = [write_pairs(tmp_path / name, 2) for name in ('a', 'b')]
    truth = tmp_path / 'truth.csv'
    truth.write_text(f'bag,stamp_ns,label\na,{START_NS},kitchen\nb,{START_NS},hall\n')
    result = extract(tmp_path, '--bags', *bags, '--truth', truth)
    assert [row['truth'] for row in result.rows] == ['kitchen', None, 'hall', None]
    assert 'truth: known of 2 of 4 pairs' in capsys.readouterr().out


def test_truth_of_no_pair_at_all_is_said(tmp_path, capsys):
    truth = tmp_path / 'truth.csv'
    truth.write_text('stamp_ns,label\n1,kitchen\n')
    extract(tmp_path, '--bags', write_pairs(tmp_path / 'bag', 2), '--truth', truth)
    assert 'known of 0 of 2 pairs; its stamps have to be' in capsys.readouterr().out


@pytest.mark.parametrize('text', ['', 'stamp,room\n1,hall\n', 'stamp_ns,label\nsoon,hall\n'])
def test_truth_that_is_no_such_table_is_refused(tmp_path, capsys, text):
    (tmp_path / 'truth.csv').write_text(text)
    bag = write_pairs(tmp_path / 'bag', 1)
    assert main([
        'extract', '--out', str(tmp_path / 'out'), '--bags', str(bag), '--truth',
        str(tmp_path / 'truth.csv'),
    ]) == 2
    assert 'truth.csv' in capsys.readouterr().err


def test_a_full_disk_is_said_and_the_command_goes_on(tmp_path):
    bag = write_pairs(tmp_path / 'bag', 40)
    code = (
        'import resource, signal, sys\n'
        'signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n'
        'resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n'
        'from edgevl_training.cli import main\n'
        'sys.exit(main(sys.argv[1:]))\n'
    )
    options = ['extract', '--out', str(tmp_path / 'out'), '--bags', str(bag)]
    ended = subprocess.run(
        [sys.executable, '-c', code, *options], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert 'goes on from there' in ended.stderr and 'Traceback' not in ended.stderr
    assert main(options) == 0


def test_selection_counts_what_it_leaves_out(tmp_path):
    with CameraBag(tmp_path / 'bag') as bag:
        for number in range(20):
            # The robot stands from the tenth frame on.
            stamp_ns = START_NS + number * PERIOD_NS
            bag.color(jpeg(picture(min(number, 10))), stamp_ns)
            bag.depth(png(millimetres(number)), stamp_ns)
    result = extract(
        tmp_path, '--bags', tmp_path / 'bag', '--rate', '5', '--near-duplicates', '2'
    )
    assert result.numbers() == [0, 2, 4, 6, 8, 10]
    assert result.manifest['counts']['skipped'] == {'above the rate': 6, 'near-duplicate': 8}


def test_stamps_of_zero_fall_back_to_the_time_of_recording(tmp_path):
    with CameraBag(tmp_path / 'bag') as bag:
        for number in range(5):
            time_ns = START_NS + number * PERIOD_NS
            bag.color(jpeg(picture(number)), 0, time_ns)
            bag.depth(png(millimetres(number)), 0, time_ns + SKEW_NS)
    result = extract(tmp_path, '--bags', tmp_path / 'bag')
    assert result.numbers() == list(range(5))
    assert any('without a stamp' in note for note in result.manifest['by_source'][0]['notes'])


def test_a_truncated_bag_gives_what_is_readable_and_says_what_is_lost(tmp_path, capsys):
    bag = write_pairs(tmp_path / 'bag', 40)
    file = next(bag.glob('*.mcap'))
    os.truncate(file, file.stat().st_size * 2 // 3)
    result = extract(tmp_path, '--bags', file)
    numbers = result.numbers()
    assert 10 < len(numbers) < 40 and numbers == list(range(len(numbers)))
    loss = result.manifest['by_source'][0]['losses'][0]
    assert loss['where'] and loss['what'] and loss['why']
    assert any(row['reason'] == 'damage of the bag' for row in result.skipped)
    assert loss['why'] in capsys.readouterr().out


def test_nothing_to_extract_ends_with_a_sentence_and_leaves_the_folder_free(tmp_path, capsys):
    bag = write_pairs(tmp_path / 'bag', 3)
    arguments = ['extract', '--out', str(tmp_path / 'out'), '--bags', str(bag)]
    assert main([*arguments, '--min-depth-coverage', '1']) == 1
    message = capsys.readouterr().err
    assert 'not one pair' in message and '3 too little depth' in message
    assert 'lower --min-depth-coverage' in message
    assert main(arguments) == 0


def test_the_output_of_another_command_is_not_touched(tmp_path, capsys):
    bag = write_pairs(tmp_path / 'bag', 2)
    arguments = ['extract', '--out', str(tmp_path / 'out'), '--bags', str(bag)]
    assert main(arguments) == 0
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / 'out').iterdir()}
    assert main([*arguments, '--rate', '1']) == 2
    assert 'rate' in capsys.readouterr().err
    assert main([*arguments, str(write_pairs(tmp_path / 'more', 1))]) == 2
    assert 'sources: only asked more\n' in capsys.readouterr().err
    assert main([*arguments, '--workers', '2']) == 0  # the same result, already there
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / 'out').iterdir()}
    assert after == before


@pytest.mark.parametrize('harm', ['none', 'missing', 'cut', 'other'])
def test_a_finished_output_is_checked_before_it_is_called_so(tmp_path, capsys, harm):
    bag, out = write_pairs(tmp_path / 'bag', 5), tmp_path / 'out'
    arguments = ['extract', '--out', str(out), '--bags', str(bag)]
    assert main(arguments) == 0
    assert 'finished earlier' not in capsys.readouterr().out
    shard, = out.glob('*.parquet')
    if harm == 'missing':
        shard.unlink()
    elif harm == 'cut':
        os.truncate(shard, shard.stat().st_size // 2)
    elif harm == 'other':
        pq.write_table(pq.read_table(shard).slice(1), shard)
    assert main(arguments) == (0 if harm == 'none' else 2)
    said = capsys.readouterr()
    if harm == 'none':
        assert 'finished earlier, nothing to do' in said.out and '5 pairs' in said.out
    else:
        assert said.out == '' and str(shard) in said.err
        assert f'remove {out} and make it anew with "edgevl extract"' in said.err


def test_an_output_beside_the_bags_of_a_folder_is_fine_but_not_inside_a_bag(tmp_path, capsys):
    bag = write_pairs(tmp_path / 'bag', 2)
    assert main(['extract', '--out', str(bag / 'out'), '--bags', str(tmp_path)]) == 2
    assert 'outside of the sources' in capsys.readouterr().err
    assert len(extract(tmp_path, '--bags', tmp_path).rows) == 2


def test_a_folder_with_foreign_files_is_not_touched(tmp_path, capsys):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'thesis.tex').write_text('years of work')
    bag = write_pairs(tmp_path / 'bag', 2)
    assert main(['extract', '--out', str(tmp_path / 'out'), '--bags', str(bag)]) == 2
    assert 'thesis.tex' in capsys.readouterr().err
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['thesis.tex']


def test_all_errors_of_the_command_line_at_once(tmp_path, capsys):
    assert main([
        'extract', '--bags', str(tmp_path / 'absent'), '--images', str(tmp_path), '--rate', '-1',
        '--near-duplicates', '65', '--modality', 'rgb', '--depth-topic', '/depth', '--workers',
        '0', '--depth-kind', 'raw', '--colour', 'blue',
    ]) == 2
    message = capsys.readouterr().err
    for option in ('out', 'bags', 'rate', 'near-duplicates', 'depth-topic', 'workers',
                   'depth-kind', 'colour'):
        assert f'--{option}' in message


@pytest.mark.parametrize('options', [[], ['--bags', '.', '--images', '.']])
def test_bags_or_images_are_needed_but_not_both(tmp_path, capsys, options):
    assert main(['extract', '--out', str(tmp_path / 'out'), *options]) == 2
    assert '\n  expected either --bags or --images' in capsys.readouterr().err


def test_help_lists_every_option(capsys):
    with pytest.raises(SystemExit) as ended:
        main(['extract', '--help'])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for option in ('--bags', '--images', '--layout', '--rate', '--truth', '--allow-unregistered'):
        assert option in text


def test_recipe_file(tmp_path):
    bag = write_pairs(tmp_path / 'bag', 10)
    recipe = tmp_path / 'recipe.yaml'
    recipe.write_text(json.dumps({'extract': {'rate': 5, 'bags': [str(bag)]}}))
    result = extract(tmp_path, '--config', recipe)
    assert result.numbers() == [0, 2, 4, 6, 8]
    assert result.manifest['recipe']['rate'] == 5
