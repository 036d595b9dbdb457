# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measuring backends on the golden frames, and choosing one."""
from __future__ import annotations

import json
import shutil

from edgevl_ros.backends import open_backend
from edgevl_ros.backends.choice import Choice, choose, measure, Measured, REPEATS
from edgevl_ros.core.bundle import Bundle
import pytest

FAST = Measured('tensorrt', 0.98, 1.0)
SLOW = Measured('onnxruntime', 0.99, 9.0)
WRONG = Measured('tensorrt-fp16', problem='found 0.7')


@pytest.fixture(name='bundle', scope='module')
def fixture_bundle(tiny_bundle):
    return Bundle.open(tiny_bundle)


def test_a_backend_is_measured_on_the_golden_frames(bundle):
    backend = open_backend('onnxruntime', bundle, threads=1)
    shapes = []

    def timed(images):
        shapes.append(images.shape)
        backend.embed(images)
        return len(shapes) / 1000

    measured = measure('onnxruntime', bundle, backend, timed)
    backend.close()
    assert measured.cosine > 0.999 and not measured.problem
    # Both modalities count in this bundle, so a frame is a batch of two.
    assert set(shapes) == {(2, 3, 32, 32)}
    assert measured.milliseconds > REPEATS / 2


def test_without_a_timer_the_backend_itself_is_timed(bundle):
    backend = open_backend('onnxruntime', bundle, threads=1)
    assert 0 < measure('onnxruntime', bundle, backend).milliseconds < 1000
    backend.close()


def test_a_backend_that_sees_something_else_cannot_be_used(tiny_bundle, tmp_path):
    from support.tiny_bundle import break_student

    folder = shutil.copytree(tiny_bundle, tmp_path / 'bundle')
    break_student(folder)
    broken = Bundle.open(folder)
    backend = open_backend('onnxruntime', broken, threads=1)
    measured = measure('onnxruntime', broken, backend)
    backend.close()
    assert 'expected unit rows' in measured.problem
    assert choose([measured], otherwise='none').backend == 'none'


@pytest.mark.parametrize(('measured', 'backend'), [
    ([SLOW, FAST], 'tensorrt'), ([FAST, SLOW], 'tensorrt'), ([WRONG, SLOW], 'onnxruntime'),
    ([SLOW, WRONG, FAST], 'tensorrt'), ([WRONG], 'otherwise'), ([], 'otherwise')])
def test_the_fastest_that_can_be_used_is_chosen(measured, backend):
    assert choose(measured, otherwise='otherwise').backend == backend


def test_a_choice_says_why():
    said = str(choose([FAST, WRONG, SLOW], otherwise=''))
    assert said.startswith('tensorrt is the fastest')
    for part in ('1.00 ms', '0.9800', '9.00 ms', 'tensorrt-fp16: found 0.7'):
        assert part in said


def test_a_choice_is_remembered_as_it_was():
    choice = choose([FAST, SLOW], otherwise='')
    assert Choice.from_note(json.loads(json.dumps(choice.note()))) == choice


@pytest.mark.parametrize('note', [
    {}, {'backend': 'tensorrt'}, {'backend': 'tensorrt', 'measured': []},
    {'backend': 'tensorrt', 'measured': 3}, {'backend': 'tensorrt', 'measured': [{'odd': 1}]},
    {'backend': ['tensorrt'], 'measured': [FAST.__dict__]}, {'measured': [None]},
    {'backend': 'tensorrt', 'measured': [{**FAST.__dict__, 'cosine': 'high'}]}])
def test_what_is_no_choice_is_none(note):
    assert Choice.from_note(note) is None
