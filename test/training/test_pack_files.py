# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bundle appears whole or not at all."""

import json
import os
from pathlib import Path

from edgevl_training.packing.files import sha256, write_bundle
from edgevl_training.packing.weights import refer_to_weights
import numpy as np
import onnx
from onnx import helper, numpy_helper, TensorProto
import pytest


def test_every_file_is_listed_with_its_hash(tmp_path):
    """The manifest lists every file but itself."""
    write_bundle(tmp_path / 'b', {'a.txt': b'one', 'b.txt': b''}, {'schema': 1})
    manifest = json.loads((tmp_path / 'b' / 'manifest.json').read_text())
    assert manifest == {
        'schema': 1,
        'files': {
            'a.txt': {'sha256': sha256(b'one'), 'bytes': 3},
            'b.txt': {'sha256': sha256(b''), 'bytes': 0},
        },
    }
    assert (tmp_path / 'b' / 'a.txt').read_bytes() == b'one'
    assert [path.name for path in tmp_path.iterdir()] == ['b'], 'no scratch folder stays behind'


def test_a_folder_is_replaced_only_when_asked(tmp_path):
    """Without force the old bundle stays as it was."""
    write_bundle(tmp_path / 'b', {'old.txt': b'old'}, {})
    with pytest.raises(FileExistsError, match='--force'):
        write_bundle(tmp_path / 'b', {'new.txt': b'new'}, {})
    assert (tmp_path / 'b' / 'old.txt').exists()
    write_bundle(tmp_path / 'b', {'new.txt': b'new'}, {}, force=True)
    assert {p.name for p in (tmp_path / 'b').iterdir()} == {'new.txt', 'manifest.json'}


def test_a_failure_leaves_the_old_bundle(tmp_path):
    """A name that cannot be written breaks off before anything is replaced."""
    write_bundle(tmp_path / 'b', {'old.txt': b'old'}, {})
    with pytest.raises(OSError):
        write_bundle(tmp_path / 'b', {'no/such/folder': b''}, {}, force=True)
    assert (tmp_path / 'b' / 'old.txt').read_bytes() == b'old'
    assert [path.name for path in tmp_path.iterdir()] == ['b']


def test_the_old_bundle_comes_back_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    """The old folder has gone already when the last rename fails."""
    write_bundle(tmp_path / 'b', {'old.txt': b'old'}, {})
    rename = Path.rename

    def fail_for_the_new(path, target):
        if path.name == 'fresh':
            raise OSError('the disk went away')
        return rename(path, target)

    monkeypatch.setattr(Path, 'rename', fail_for_the_new)
    with pytest.raises(OSError, match='the disk went away'):
        write_bundle(tmp_path / 'b', {'new.txt': b'new'}, {}, force=True)
    assert (tmp_path / 'b' / 'old.txt').read_bytes() == b'old'
    assert [path.name for path in tmp_path.iterdir()] == ['b']


def test_what_a_killed_run_left_is_cleared_away_and_the_old_bundle_comes_back(tmp_path):
    """A run that is killed between two renames leaves the old bundle beside the new one."""
    write_bundle(tmp_path / 'b', {'old.txt': b'old'}, {})
    scratch = tmp_path / '.b.partial'
    (scratch / 'fresh').mkdir(parents=True)
    (tmp_path / 'b').rename(scratch / 'old')
    with pytest.raises(FileExistsError):
        write_bundle(tmp_path / 'b', {'new.txt': b'new'}, {})
    assert (tmp_path / 'b' / 'old.txt').read_bytes() == b'old'
    assert [path.name for path in tmp_path.iterdir()] == ['b']


def test_a_bundle_that_does_not_pass_its_check_never_appears(tmp_path):
    """The check sees all files under a temporary name."""
    seen = []

    def look(folder):
        seen.extend(sorted(path.name for path in folder.iterdir()))
        raise ValueError('unfit')

    with pytest.raises(ValueError, match='unfit'):
        write_bundle(tmp_path / 'b', {'a.txt': b'one'}, {}, check=look)
    assert seen == ['a.txt', 'manifest.json']
    assert list(tmp_path.iterdir()) == []


def test_anybody_may_read_a_bundle(tmp_path):
    """Whatever the umask of its maker was."""
    before = os.umask(0o077)
    try:
        write_bundle(tmp_path / 'b', {'a.txt': b'one'}, {})
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / 'b').iterdir()}
    assert modes == {'a.txt': 0o644, 'manifest.json': 0o644}
    assert (tmp_path / 'b').stat().st_mode & 0o777 == 0o755


def graph_with(weights):
    """Make a graph that multiplies by one large INT8 weight."""
    value = helper.make_tensor_value_info
    return helper.make_model(
        helper.make_graph(
            [
                helper.make_node('Cast', ['w'], ['float'], to=TensorProto.FLOAT),
                helper.make_node('MatMul', ['x', 'float'], ['y']),
            ],
            'g',
            [value('x', TensorProto.FLOAT, [1, 64])],
            [value('y', TensorProto.FLOAT, [1, 64])],
            [numpy_helper.from_array(weights, 'w')],
        )
    )


def test_weights_are_read_from_the_other_file(tmp_path):
    """The graph shrinks and still loads the same numbers."""
    weights = np.random.default_rng(0).integers(-127, 128, (64, 64)).astype(np.int8)
    holder = graph_with(weights).SerializeToString()
    small = refer_to_weights(graph_with(weights), 'holder.onnx', holder)
    (tmp_path / 'holder.onnx').write_bytes(holder)
    (tmp_path / 'small.onnx').write_bytes(small.SerializeToString())
    assert len(small.SerializeToString()) < 1000
    loaded = onnx.load(tmp_path / 'small.onnx')
    np.testing.assert_array_equal(numpy_helper.to_array(loaded.graph.initializer[0]), weights)


def test_weights_that_are_not_there_are_refused():
    """A reference to other numbers would be worse than none."""
    weights = np.ones((64, 64), np.int8)
    with pytest.raises(ValueError, match=r'w: .*holder\.onnx'):
        refer_to_weights(graph_with(weights), 'holder.onnx', b'something else')
