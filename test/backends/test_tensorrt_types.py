# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The calls of TensorRT, held by mypy to the signatures that tensorrt-stubs collected."""
from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys

import pytest
from support.source_tree import ROOT

pytest.importorskip('mypy', reason='mypy is not installed')


@pytest.fixture(name='stubs', scope='module')
def fixture_stubs(tmp_path_factory):
    """Copy the stubs to where mypy reads them, and mend what is no Python in them."""
    try:
        files = importlib.metadata.files('tensorrt-stubs')
    except importlib.metadata.PackageNotFoundError:
        pytest.skip('tensorrt-stubs is not installed')
    folder = tmp_path_factory.mktemp('stubs')
    for file in files:
        if file.suffix == '.pyi':
            text = file.read_text()
            # An argument cannot be called so, nor one without default follow one with.
            text = re.sub(r'\bin: ', 'inputs: ', text)
            text = text.replace('channel_axis: int)', 'channel_axis: int = ...)')
            # A member of the module of that name hides the type.
            text = re.sub(r'\bbool\b(?! *[:=])', 'builtins.bool', text)
            target = folder / str(file)
            target.parent.mkdir(exist_ok=True)
            target.write_text(f'import builtins\n{text}')
    return folder


@pytest.fixture(name='complaints', scope='module')
def fixture_complaints(stubs, tmp_path_factory):
    """Let mypy read this package and a file that calls TensorRT wrongly; give what it says."""
    wrong = tmp_path_factory.mktemp('wrong') / 'wrong.py'
    wrong.write_text(
        'import tensorrt as trt\n'
        'def f(context: trt.IExecutionContext) -> None:\n'
        '    context.execute_async_v3()\n'
        '    context.execute_async_v9(1)\n')
    # What mypy knows of other packages is the same with the stubs as without.
    if (ROOT / '.mypy_cache').is_dir():
        shutil.copytree(ROOT / '.mypy_cache', stubs / 'cache')
    done = subprocess.run(
        [sys.executable, '-m', 'mypy', '--cache-dir', stubs / 'cache', wrong,
         'edgevl_ros/backends'], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env={**os.environ, 'MYPYPATH': str(stubs)})
    assert 'syntax' not in done.stdout, done.stdout
    # Not what it says of the stubs themselves.
    return [line for line in done.stdout.splitlines()
            if not line.startswith((str(stubs), os.path.relpath(stubs, ROOT)))]


def test_the_signatures_are_seen(complaints):
    said = '\n'.join(complaints)
    assert 'execute_async_v9' in said and 'Missing positional argument' in said


def test_backends_call_tensorrt_as_it_wants_to_be_called(complaints):
    assert [line for line in complaints if 'edgevl_ros/' in line] == []
