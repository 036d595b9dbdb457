# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Imports run one way, and nothing heavy loads before it is used."""
from __future__ import annotations

import ast
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from support.source_tree import ROOT

HEAVY = {
    'accelerate', 'cuda', 'modelopt', 'onnxruntime', 'open_clip', 'pycuda', 'rclpy', 'tensorrt',
    'tensorrt_rtx', 'timm', 'torch'}
# Of the workstation; the recorder alone takes pydantic to the robot.
WORKSTATION = {
    'h5py', 'matplotlib', 'open_clip', 'pyarrow', 'pydantic', 'sklearn', 'tifffile', 'timm',
    'torch'}
ROS = {
    'builtin_interfaces', 'diagnostic_msgs', 'lifecycle_msgs', 'nav2_msgs', 'rcl_interfaces',
    'rclpy', 'sensor_msgs', 'std_msgs', 'std_srvs', 'vision_msgs'}
# Installed by the owner of the robot or by pip, see README.md; rosdep has no say in them.
NOT_FROM_ROSDEP = {'mcap', 'onnxruntime', 'pycuda', 'pydantic', 'rosbags', 'tensorrt'}
ROSDEP_KEYS = {'cv2': 'python3-opencv', 'numpy': 'python3-numpy', 'yaml': 'python3-yaml'}

# Records every attempt to import, so that a library counts although it is not installed here.
WATCH = """
import importlib, json, sys

class Watch:
    names = set()

    def find_spec(self, name, path=None, target=None):
        self.names.add(name.partition('.')[0])

sys.meta_path.insert(0, Watch())
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
{more}
print(json.dumps(sorted(Watch.names | {{name.partition('.')[0] for name in sys.modules}})))
"""

RUN_THE_COMMAND = """
from edgevl_training.cli import main
try:
    main(sys.argv[2:])
except SystemExit as end:
    assert end.code == 0
"""

LABEL_ONE_FRAME = """
from pathlib import Path
import numpy as np
from edgevl_ros.backends import open_backend
from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.frame import Frame
from edgevl_ros.core.perception import Perception
from edgevl_ros.core.settings import Settings

bundle = Bundle.open(Path(sys.argv[2]))
backend = open_backend('onnxruntime', bundle, threads=1)
frame = Frame(1, 'camera', np.full((48, 64, 3), 255, np.uint8), None)
assert Perception(bundle, backend, Settings()).perceive(frame).hypotheses
"""


def sources(package, *folders):
    """Return the Python files of a package below its root, or below some of its folders."""
    roots = [ROOT / package / folder for folder in folders] or [ROOT / package]
    return sorted(path for root in roots for path in root.rglob('*.py'))


def module_name(path):
    """Return the dotted name of a source file."""
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imported(path):
    """Return the absolute names that a file imports, at the top or inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path} has a relative import'
            names |= {f'{node.module}.{alias.name}' for alias in node.names}
    return names


def offenders(paths, *forbidden):
    """Return (file, import) wherever a file imports one of the forbidden packages."""
    return [
        (str(path.relative_to(ROOT)), name)
        for path in paths for name in sorted(imported(path))
        if any(f'{name}.'.startswith(f'{package}.') for package in forbidden)]


def loaded_by(modules, *arguments, more=''):
    """Return the packages that a fresh Python loads, or tries to, for some modules."""
    done = subprocess.run(
        [sys.executable, '-c', WATCH.format(more=more), json.dumps(modules), *arguments],
        stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout))


def test_the_watch_sees_a_library_that_is_not_installed():
    attempt = 'try:\n    import torch\nexcept ImportError:\n    pass'
    assert 'torch' in loaded_by(['json'], more=attempt)


def test_core_and_backends_load_nothing_heavy():
    modules = [module_name(path) for path in sources('edgevl_ros', 'core', 'backends')]
    assert 'edgevl_ros.core.encodings' in modules
    assert loaded_by(['edgevl_ros', *modules]) & HEAVY == set()


def test_the_training_package_loads_nothing_heavy():
    assert loaded_by(['edgevl_training']) & HEAVY == set()


def test_labelling_a_frame_loads_no_torch(tiny_bundle):
    pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
    loaded = loaded_by([], str(tiny_bundle), more=LABEL_ONE_FRAME)
    assert loaded & (HEAVY | WORKSTATION) == {'onnxruntime'}


def shown_and_loaded(*words):
    """Return what the command prints, and the packages that it loads or tries to."""
    done = subprocess.run(
        [sys.executable, '-c', WATCH.format(more=RUN_THE_COMMAND), '[]', *words],
        stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    *shown, loaded = done.stdout.splitlines()
    return '\n'.join(shown), set(json.loads(loaded))


def test_the_help_of_the_command_loads_next_to_nothing():
    shown, loaded = shown_and_loaded('--help')
    assert shown.startswith('usage: edgevl VERB')
    assert loaded & (HEAVY | WORKSTATION | ROS | {'cv2', 'numpy', 'rich', 'rosbags'}) == set()


def test_the_recorder_explains_itself_without_ros_and_the_workstation():
    pytest.importorskip('pydantic', reason='pydantic is not installed')
    shown, loaded = shown_and_loaded('record', '--help')
    assert shown.startswith('usage: edgevl record')
    assert loaded & (HEAVY | WORKSTATION | ROS | {'rosbags'}) == {'pydantic'}


def test_building_an_engine_explains_itself_with_what_the_robot_has():
    shown, loaded = shown_and_loaded('engine', 'build', '--help')
    assert shown.startswith('usage: edgevl engine build')
    assert loaded & (HEAVY | WORKSTATION | ROS | {'rich'}) == set()


@pytest.mark.parametrize('verb', [
    'extract', 'teach', 'curate', 'distill', 'contrast', 'pack', 'adapt'])
def test_the_help_of_a_verb_loads_no_torch(verb):
    pytest.importorskip('pyarrow', reason='pyarrow is not installed')
    shown, loaded = shown_and_loaded(verb, '--help')
    assert shown.startswith(f'usage: edgevl {verb}')
    assert loaded & HEAVY == set()


def test_reading_bags_needs_nothing_of_a_data_set():
    pytest.importorskip('rosbags', reason='rosbags is not installed')
    assert loaded_by(['edgevl_training.bags']) & (HEAVY | WORKSTATION | ROS) == set()


def test_core_knows_neither_ros_nor_a_runtime_nor_what_is_built_on_it():
    assert offenders(
        sources('edgevl_ros', 'core'), 'edgevl_ros.backends', 'edgevl_ros.nodes',
        'edgevl_training', *HEAVY, *ROS) == []


def test_backends_know_core_only():
    assert offenders(
        sources('edgevl_ros', 'backends'), 'edgevl_ros.nodes', 'edgevl_training', *ROS) == []


def test_the_robot_knows_neither_the_workstation_nor_the_demo():
    assert offenders(sources('edgevl_ros'), 'edgevl_training', 'demo', *WORKSTATION) == []


def test_the_workstation_does_not_know_the_nodes():
    assert offenders(sources('edgevl_training'), 'edgevl_ros.nodes', 'demo') == []


def test_ros_lives_in_the_nodes_and_the_recorder():
    paths = [
        path for path in [*sources('edgevl_ros'), *sources('edgevl_training')]
        if 'nodes' not in path.parts and path != ROOT / 'edgevl_training' / 'record.py']
    assert offenders(paths, *ROS) == []


def test_package_xml_names_what_the_robot_imports():
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    declared = {node.text for tag in ('depend', 'exec_depend') for node in manifest.iter(tag)}
    recorder = [ROOT / 'edgevl_training' / 'record.py', *sources('edgevl_training', 'recording')]
    used = {
        name.partition('.')[0]
        for path in [*sources('edgevl_ros'), *recorder, *(ROOT / 'launch').glob('*.py')]
        for name in imported(path)}
    ours = {'edgevl_ros', 'edgevl_training'}
    needed = used - set(sys.stdlib_module_names) - ours - NOT_FROM_ROSDEP
    assert {ROSDEP_KEYS.get(name, name) for name in needed} - declared == set()
