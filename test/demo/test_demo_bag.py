# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bag that cannot be played is refused with the reason; a damaged one plays what is left."""

from pathlib import Path
import subprocess
import sys

from demo.processes import ROOT
import pytest
from support.made_bags import frames, write_mcap

for module in ('rclpy', 'vision_msgs', 'rich', 'matplotlib'):
    pytest.importorskip(module, reason=f'the demo needs {module}')

STARTER = ROOT / 'edgevl_ros' / 'bundles' / 'starter' / 'manifest.json'
pytestmark = pytest.mark.timeout(120)


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, '-m', 'demo', *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=110,
    )


def test_says_what_it_expected_where_there_is_no_bag(tmp_path: Path):
    demo = run('--bag', str(tmp_path / 'nothing'), '--output', str(tmp_path))
    assert demo.returncode == 1
    assert 'no bag at' in demo.stderr
    assert 'expected a rosbag2 folder' in demo.stderr


def test_an_unknown_topic_lists_those_that_exist(tmp_path: Path):
    bag = write_mcap(tmp_path / 'drive.mcap', frames(range(3)))
    demo = run('--bag', str(bag), '--output', str(tmp_path), '--rgb-topic', '/nowhere')
    assert demo.returncode == 1
    assert 'named /nowhere, found none' in demo.stderr
    assert '/rgb (sensor_msgs/msg/Image, rgb8, 3 messages)' in demo.stderr


@pytest.mark.skipif(not STARTER.is_file(), reason='the starter bundle has not been built')
def test_a_bag_cut_off_plays_what_is_left_and_says_so(tmp_path: Path):
    bag = write_mcap(tmp_path / 'drive.mcap', frames(range(20), side=64))
    bag.write_bytes(bag.read_bytes()[:bag.stat().st_size // 2])
    demo = run('--bag', str(bag), '--every-frame', '--output', str(tmp_path / 'output'))
    assert demo.returncode == 0, demo.stderr
    assert 'Lost: drive.mcap: what follows byte' in demo.stdout
    assert 'the recording was cut off' in demo.stdout
    labelled = next(line for line in demo.stdout.splitlines() if 'frames labelled' in line)
    assert 8 <= int(labelled.split()[2]) <= 11
