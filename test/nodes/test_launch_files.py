# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The launch files, evaluated by the real launch."""

from pathlib import Path
import runpy

import pytest

launch = pytest.importorskip('launch', reason='launch is not installed')
pytest.importorskip('launch_ros', reason='launch_ros is not installed')
packages = pytest.importorskip('ament_index_python.packages', reason='no ament index here')

LAUNCH = Path(__file__).parents[2] / 'launch'


@pytest.fixture
def perception():
    try:
        packages.get_package_share_directory('edgevl_ros')
    except packages.PackageNotFoundError:
        pytest.skip('edgevl_ros is not installed in an ament prefix')
    return runpy.run_path(str(LAUNCH / 'perception.launch.py'))


def test_every_argument_is_declared_and_described(perception):
    description = perception['generate_launch_description']()
    declared = {argument.name: argument for argument in description.get_launch_arguments()}
    assert set(declared) == {
        'bundle', 'rgb_topic', 'depth_topic', 'image_transport', 'vocabulary', 'params_file',
        'namespace', 'use_sim_time', 'log_level', 'autostart',
    }
    assert all(argument.description for argument in declared.values())


@pytest.mark.parametrize(
    'text', ['kitchen, corridor', '[kitchen, corridor]', "['kitchen', 'corridor']"]
)
def test_a_vocabulary_is_written_as_people_do(perception, text):
    assert perception['parse_vocabulary'](text) == ['kitchen', 'corridor']


@pytest.mark.parametrize('text', ['kitchen,,corridor', '[kitchen', '[kitchen, ""]'])
def test_a_vocabulary_that_is_none_is_refused(perception, text):
    with pytest.raises(ValueError, match='vocabulary: expected'):
        perception['parse_vocabulary'](text)


def test_only_arguments_that_were_given_overrule_the_parameter_file(perception):
    given = {name: '' for name, _, _ in perception['ARGUMENTS']}
    assert perception['chosen_parameters'](given) == {}
    given.update(image_transport='compressed', autostart='false', vocabulary='kitchen')
    assert perception['chosen_parameters'](given) == {
        'image_transport': 'compressed', 'depth_transport': 'compressedDepth',
        'autostart': False, 'vocabulary': ['kitchen'],
    }


@pytest.mark.usefixtures('perception')
def test_the_replay_needs_a_bag():
    replay = runpy.run_path(str(LAUNCH / 'replay.launch.py'))
    names = {a.name for a in replay['generate_launch_description']().get_launch_arguments()}
    assert {'bag', 'rate', 'loop', 'delay', 'rgb_topic'} <= names
