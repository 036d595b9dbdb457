# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The launch file of the recorder, evaluated by the real launch."""

from pathlib import Path
import runpy

from edgevl_training.recording.recipe import RecordRecipe
import pytest

pytest.importorskip('launch_ros', reason='launch_ros is not installed')

LAUNCH = Path(__file__).parents[2] / 'launch'


def test_every_option_is_an_argument_that_is_described():
    description = runpy.run_path(str(LAUNCH / 'record.launch.py'))['generate_launch_description']()
    declared = {argument.name: argument for argument in description.get_launch_arguments()}
    assert set(declared) == {*RecordRecipe.model_fields, 'namespace', 'log_level'}
    assert all(argument.description for argument in declared.values())
