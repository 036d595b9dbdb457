# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``edgevl engine build`` as a user starts it, with the real builder."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip('onnx', reason='onnx makes the graphs that are built')
pytest.importorskip(
    'tensorrt_rtx', reason='tensorrt_rtx is not installed', exc_type=ImportError)

from edgevl_ros.backends.cuda import open_cuda  # noqa: E402, I100
from edgevl_ros.core.errors import BackendError  # noqa: E402


@pytest.fixture(name='command')
def fixture_command(tmp_path):
    """Give a command line that keeps engines in a folder of the test."""
    def build(*words, verb='build'):
        return [
            sys.executable, '-m', 'edgevl_training.cli', 'engine', verb,
            '--engine-cache', str(tmp_path / 'engines'), *map(str, words)]
    return build


def run(command, **options):
    return subprocess.run(
        command, capture_output=True, text=True, env=environment(), timeout=120, **options)


def environment():
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}


def test_it_builds_once_and_tells_what_computes_in_int8(command, int8_bundle):
    words = ('--bundle', int8_bundle.path, '--target', 'sm86', '--library', 'tensorrt_rtx')
    first, second = run(command(*words, '--layers')), run(command(*words))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert 'tiny, tensorrt: built in' in first.stdout
    assert '2 of 3 convolutions and matrix products compute in INT8' in first.stdout
    assert first.stdout.count('Int8 x Int8') == 2
    assert 'building an engine' in first.stderr
    assert 'tiny, tensorrt: built earlier' in second.stdout and second.stderr == ''


@pytest.mark.parametrize(('words', 'reason'), [
    (('--target', 'ampere'), 'expected a compute capability such as sm86'),
    (('--bundle', '/nowhere'), 'expected a bundle folder'),
    (('--target', 'sm86', '--backend', 'tensorrt-fp16'), 'expected a model for tensorrt-fp16'),
    (('--target', 'sm35'), 'found SM35')])
def test_what_cannot_be_built_is_told_in_a_line(command, words, reason):
    done = run(command(*words))
    assert done.returncode == 2
    assert reason in done.stderr
    assert 'Traceback' not in done.stderr


def test_without_a_gpu_it_says_so(command):
    try:
        open_cuda()
    except BackendError:
        done = run(command())
        assert done.returncode == 2
        assert 'expected an NVIDIA driver' in done.stderr or 'expected a GPU' in done.stderr
    else:
        pytest.skip('there is a GPU here')


def test_the_choice_is_told_with_its_reason(command, int8_bundle):
    done = run(command('--bundle', int8_bundle.path, verb='choose'))
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith(('staying on onnxruntime', 'labelling on tensorrt'))
    assert 'ms' in last or 'expected an NVIDIA driver' in last or 'expected a GPU' in last
    assert 'Traceback' not in done.stderr


def test_an_interrupt_leaves_nothing_of_the_build(command, tmp_path):
    with subprocess.Popen(
        command('--target', 'sm86', '--library', 'tensorrt_rtx'), env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:
        assert 'building an engine' in process.stderr.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert 'interrupted' in errors and 'Traceback' not in errors
    assert [p.suffix for p in (tmp_path / 'engines').iterdir()] == ['.lock']
