# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The whole demo as a user runs it: camera or bag, the real node as a process, real DDS."""

import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import cv2
from demo.processes import ROOT
import pytest

for module in ('rclpy', 'vision_msgs', 'skimage', 'rich', 'matplotlib'):
    pytest.importorskip(module, reason=f'the demo needs {module}')

STARTER = ROOT / 'edgevl_ros' / 'bundles' / 'starter' / 'manifest.json'
pytestmark = [
    pytest.mark.skipif(not STARTER.is_file(), reason='the starter bundle has not been built'),
    pytest.mark.timeout(180),
]
DATA = os.environ.get('EDGEVL_TEST_DATA')
needs_data = pytest.mark.skipif(not DATA, reason='EDGEVL_TEST_DATA does not name the test data')


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, '-m', 'demo', *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=170,
    )


def best_labels(line: str) -> str:
    return line.split(': ', 1)[1].split(';')[0]


def test_photographs_are_labelled_and_follow_the_vocabulary(tmp_path: Path):
    demo = run('--seconds', '6', '--output', str(tmp_path))
    assert demo.returncode == 0, demo.stderr
    assert '\x1b' not in demo.stdout
    before, after = demo.stdout.split('Vocabulary changed', 1)
    coffee = [line for line in before.splitlines() if '%  coffee: ' in line]
    cat = [line for line in after.splitlines() if '%  cat: ' in line]
    assert best_labels(coffee[0]).startswith('coffee cup ')
    assert best_labels(cat[0]).startswith('animal ')
    sheet = cv2.imread(str(tmp_path / 'contact_sheet.png'))
    assert sheet.shape[1] > 1000
    assert sheet.std() > 20


def test_an_unknown_word_is_refused_with_the_reason(tmp_path: Path):
    demo = run('--seconds', '4', '--output', str(tmp_path), '--second-vocabulary', 'qwertzuiop')
    assert demo.returncode == 1
    assert "the node refused the vocabulary: unknown to this bundle: 'qwertzuiop'" in demo.stderr


def test_a_node_that_cannot_start_is_reported_with_its_log(tmp_path: Path):
    demo = run('--output', str(tmp_path), '--bundle', str(tmp_path / 'nothing'))
    assert demo.returncode == 1
    assert 'the node could not start' in demo.stderr
    assert 'expected a bundle folder' in demo.stderr


def test_an_interrupt_ends_everything_soon(tmp_path: Path):
    demo = subprocess.Popen(
        [sys.executable, '-m', 'demo', '--output', str(tmp_path)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    with demo:
        while 'First label' not in (line := demo.stdout.readline()):
            assert line, demo.stderr.read()
        demo.send_signal(signal.SIGINT)
        asked = time.monotonic()
        assert demo.wait(30) == 130
        assert time.monotonic() - asked < 10
        assert demo.stderr.read() == 'Stopped.\n'
    assert 'Traceback' not in (tmp_path / 'node.log').read_text()
    assert 'Traceback' not in (tmp_path / 'camera.log').read_text()


@needs_data
def test_every_frame_of_a_bag_is_labelled_and_compared_with_the_truth(tmp_path: Path):
    bag = Path(DATA) / 'bags' / 'nyu_tour'
    demo = run('--bag', str(bag), '--rate', '4', '--output', str(tmp_path))
    assert demo.returncode == 0, demo.stderr
    assert 'nyu_tour_truth.csv (100 frames)' in demo.stdout
    assert 'Colour: /camera/color/image_raw/compressed' in demo.stdout
    assert 'Depth: /camera/aligned_depth_to_color/image_raw/compressedDepth' in demo.stdout
    rows = {
        cells[1]: cells[2:6]
        for line in demo.stdout.splitlines()
        if len(cells := [cell.strip() for cell in line.split('\u2502')]) > 5
    }
    assert len(rows) == 12
    assert rows['all frames'][:2] == ['100', '100']
    assert rows['kitchen'][:2] == ['10', '10']
    assert int(rows['kitchen'][2]) > 1, 'kitchens are not recognised better than by chance'
    assert cv2.imread(str(tmp_path / 'contact_sheet.png')).shape[1] > 1000


@needs_data
@pytest.mark.parametrize('without', ['--rgb-topic', '--depth-topic'])
def test_a_raw_bag_plays_with_one_kind_of_image_only(tmp_path: Path, without: str):
    bag = Path(DATA) / 'bags' / 'redkitchen_raw'
    demo = run('--bag', str(bag), '--every-frame', '--output', str(tmp_path), without, 'none')
    assert demo.returncode == 0, demo.stderr
    assert '7 of 7 frames labelled' in demo.stdout
    assert cv2.imread(str(tmp_path / 'contact_sheet.png')).shape[1] > 1000
