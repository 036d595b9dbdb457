# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several folders of tests share."""

import shutil
from types import SimpleNamespace

import pytest

# One list of phrases is enough for a bundle that is tested; all of them take ten seconds.
PHRASE_LISTS = ('landcover',)


@pytest.fixture(scope='session')
def tiny_bundle(tmp_path_factory):
    """Write a small real bundle, read by tests and changed by none."""
    pytest.importorskip('onnx', reason='onnx builds the small bundle that this test runs')
    from support.tiny_bundle import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp('bundles') / 'tiny')


@pytest.fixture(scope='session')
def int8_bundle(tiny_bundle, tmp_path_factory):
    """Write the small bundle with a graph for TensorRT that has Q/DQ; give it opened."""
    from edgevl_ros.core.bundle import Bundle
    from support.tiny_bundle import write_manifest
    from support.tiny_int8 import tiny_int8

    folder = shutil.copytree(tiny_bundle, tmp_path_factory.mktemp('bundles') / 'int8')
    (folder / 'student.onnx').write_bytes(tiny_int8())
    write_manifest(folder, {'rgb': 1.0, 'depth': 0.5})
    return Bundle.open(folder)


@pytest.fixture(scope='session')
def int8_engines(int8_bundle, tmp_path_factory):
    """Build that bundle's engine for SM86; give its folder, to be copied, and what was told."""
    pytest.importorskip(
        'tensorrt_rtx', reason='tensorrt_rtx is not installed', exc_type=ImportError)
    from edgevl_ros.backends.engine_cache import EngineCache
    from edgevl_ros.backends.engine_recipe import Target
    from edgevl_ros.backends.engines import Engines
    from edgevl_ros.backends.tensorrt_library import load_library
    from support.build_notes import Notes

    folder, notes = tmp_path_factory.mktemp('engines') / 'int8', Notes()
    engines = Engines(load_library('tensorrt_rtx'), Target((8, 6)), EngineCache(folder))
    engine = engines.get(int8_bundle, 'tensorrt', notes)
    return SimpleNamespace(folder=folder, engine=engine, notes=notes)


@pytest.fixture(scope='session')
def adapted(tmp_path_factory):
    """Adapt a tiny student to a few pictures; give the folder of images, bundle and the rest."""
    for package in ('accelerate', 'modelopt', 'onnx', 'onnxruntime', 'timm', 'torch'):
        pytest.importorskip(package, reason=f'{package} is not installed')
    from edgevl_training import cli
    from support.adapting import from_images

    folder = tmp_path_factory.mktemp('adapted')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('edgevl_training.phrases.LISTS', PHRASE_LISTS)
        assert cli.main(['adapt', *from_images(folder)]) == 0
    return folder
