# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The launch files, evaluated by the real launch."""

from pathlib import Path
import runpy

import pytest

pytest.importorskip('launch_ros', reason='launch_ros is not installed')
packages = pytest.importorskip('ament_index_python.packages', reason='no ament index here')

LAUNCH = Path(__file__).parents[2] / 'launch'


def arguments_of(name):
    """Evaluate a launch file and give its arguments by name."""
    try:
        packages.get_package_share_directory('edgevl_ros')
    except packages.PackageNotFoundError:
        pytest.skip('edgevl_ros is not installed in an ament prefix')
    description = runpy.run_path(str(LAUNCH / name))['generate_launch_description']()
    return {argument.name: argument for argument in description.get_launch_arguments()}


def test_every_argument_is_declared_and_described():
    declared = arguments_of('perception.launch.py')
    assert set(declared) == {
        'bundle', 'rgb_topic', 'depth_topic', 'image_transport', 'vocabulary', 'params_file',
        'namespace', 'use_sim_time', 'log_level', 'autostart',
    }
    assert all(argument.description for argument in declared.values())


def test_the_replay_takes_a_bag_and_everything_else():
    assert {'bag', 'rate', 'loop', 'delay', 'rgb_topic'} <= set(arguments_of('replay.launch.py'))
