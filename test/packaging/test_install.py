# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The package installs three ways, each with all that it needs to run."""
from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
import zipfile

import pytest
from support.source_tree import copy_package, ROOT

# Relative to the package edgevl_ros.
DATA = (
    'bundles/starter/manifest.json', 'bundles/starter/student.cpu.onnx', 'py.typed',
    '../edgevl_training/phrases/rooms.txt', '../edgevl_training/py.typed',
    '../edgevl_training/supersets/indoor.txt', '../edgevl_training/supersets/outdoor.txt',
    '../edgevl_training/supersets/satellite.txt')
PROGRAMS = ('edgevl', 'perception_node', 'record_node')


def run(command, **options):
    """Run a command to its end; on failure show what it said."""
    done = subprocess.run(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


def launch_and_config_names():
    """Name the files that ros2 launch and users look for."""
    return sorted(
        str(path.relative_to(ROOT))
        for path in [*ROOT.glob('launch/*.launch.py'), *ROOT.glob('config/**/*')]
        if path.is_file())


def where_is_it_imported_from(environ, folder):
    """Return the folder that a fresh Python started elsewhere takes edgevl_ros from."""
    code = 'import edgevl_ros; print(edgevl_ros.__file__)'
    return Path(run([sys.executable, '-c', code], env=environ, cwd=folder).strip()).parent


@pytest.fixture(scope='module', params=[(), ('--symlink-install',)], ids=['copied', 'linked'])
def workspace(request, tmp_path_factory):
    """Build the package with colcon, as in a workspace of a robot."""
    colcon = shutil.which('colcon', path=f'{Path(sys.executable).parent}:{os.environ["PATH"]}')
    if colcon is None:
        pytest.skip('colcon is not installed')
    folder = tmp_path_factory.mktemp('workspace')
    copy_package(folder / 'src' / 'edgevl_ros')
    run([colcon, 'build', *request.param], cwd=folder)
    return folder


@pytest.fixture
def sourced(workspace):
    """Return the environment after 'source install/setup.bash'."""
    script = 'set -e; source "$1/install/setup.bash"; env -0'
    output = run(['bash', '-c', script, 'bash', workspace])
    return dict(line.split('=', 1) for line in output.split('\0') if '=' in line)


def test_colcon_puts_everything_where_ros_looks_for_it(workspace):
    prefix = workspace / 'install' / 'edgevl_ros'
    share = prefix / 'share' / 'edgevl_ros'
    assert (prefix / 'share/ament_index/resource_index/packages/edgevl_ros').is_file()
    assert (share / 'package.xml').is_file()
    assert launch_and_config_names()
    assert [name for name in launch_and_config_names() if not (share / name).is_file()] == []
    programs = [prefix / 'lib/edgevl_ros' / name for name in PROGRAMS]
    assert [path for path in programs if not os.access(path, os.X_OK)] == []


def test_the_built_command_lists_its_verbs_and_refuses_others(workspace, sourced):
    program = workspace / 'install/edgevl_ros/lib/edgevl_ros/edgevl'
    assert run([program, '--help'], env=sourced, cwd=workspace).startswith('usage: edgevl VERB')
    refused = subprocess.run([program, 'fly'], env=sourced, capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (2, '')
    assert "found 'fly'" in refused.stderr


def test_the_built_recorder_gives_an_exit_status(workspace, sourced, ros_domain_id):
    for package in ('rclpy', 'pydantic'):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f'{package} is not installed')
    program = workspace / 'install/edgevl_ros/lib/edgevl_ros/record_node'
    refused = subprocess.run(
        [program, '--ros-args', '-p', 'interval:=-1.0'], capture_output=True, text=True,
        env={**sourced, 'ROS_DOMAIN_ID': str(ros_domain_id)}, timeout=60)
    assert refused.returncode == 1, refused.stderr
    assert 'interval' in refused.stderr
    assert 'Traceback' not in refused.stderr


def test_colcon_installs_the_data_with_the_code(workspace, sourced):
    package = where_is_it_imported_from(sourced, workspace)
    assert package.resolve().is_relative_to(workspace)
    assert [name for name in DATA if not (package / name).is_file()] == []


def test_the_built_node_runs_and_ends_on_interrupt(workspace, sourced, ros_domain_id, tmp_path):
    if importlib.util.find_spec('rclpy') is None:
        pytest.skip('rclpy is not installed')
    program = workspace / 'install/edgevl_ros/lib/edgevl_ros/perception_node'
    log = tmp_path / 'log'
    with log.open('w') as output:
        node = subprocess.Popen(
            [program], stdout=output, stderr=subprocess.STDOUT,
            env={**sourced, 'ROS_DOMAIN_ID': str(ros_domain_id)})
        try:
            deadline = time.monotonic() + 60
            while 'active: listening' not in log.read_text() and time.monotonic() < deadline:
                assert node.poll() is None, log.read_text()
                time.sleep(0.1)
            node.send_signal(signal.SIGINT)
            assert node.wait(timeout=10) == 0, log.read_text()
        finally:
            node.kill()
            node.wait()
    assert 'active: listening' in log.read_text()


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """Build the wheel that 'pip install .' installs, with the tools that are here."""
    folder = tmp_path_factory.mktemp('wheel')
    source = copy_package(folder / 'source')
    run([
        sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation',
        '--disable-pip-version-check', '-w', folder, source])
    return next(folder.glob('*.whl'))


def test_the_wheel_holds_the_package_and_its_data_and_no_more(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    version = wheel.name.split('-')[1]
    assert version == ElementTree.parse(ROOT / 'package.xml').getroot().findtext('version')
    data = f'edgevl_ros-{version}.data/data/share'
    expected = {
        *(os.path.normpath(f'edgevl_ros/{name}') for name in DATA),
        *(f'{data}/edgevl_ros/{name}' for name in launch_and_config_names()),
        f'{data}/edgevl_ros/package.xml',
        f'{data}/ament_index/resource_index/packages/edgevl_ros',
    }
    for package in ('edgevl_ros', 'edgevl_training'):
        expected |= {
            str(path.relative_to(ROOT))
            for pattern in ('*.py', '*.txt', '*.json', '*.onnx', '*.npz', '*.yaml')
            for path in (ROOT / package).rglob(pattern)}
    assert expected - names == set()
    assert {name.split('/')[0] for name in names} == {
        'edgevl_ros', 'edgevl_training', f'edgevl_ros-{version}.data',
        f'edgevl_ros-{version}.dist-info'}


def test_pip_installs_the_programs_and_the_bundle(wheel, tmp_path):
    target = tmp_path / 'target'
    run([
        sys.executable, '-m', 'pip', 'install', '--no-deps', '--disable-pip-version-check',
        '--target', target, wheel])
    environ = {**os.environ, 'PYTHONPATH': str(target)}
    package = where_is_it_imported_from(environ, tmp_path)
    assert package == target / 'edgevl_ros'
    assert [name for name in DATA if not (package / name).is_file()] == []
    assert [name for name in PROGRAMS if not os.access(target / 'bin' / name, os.X_OK)] == []


def test_the_editable_install_runs_this_very_source(tmp_path):
    try:
        origin = importlib.metadata.distribution('edgevl_ros').read_text('direct_url.json')
    except importlib.metadata.PackageNotFoundError:
        origin = None
    if not origin or '"editable": true' not in origin:
        pytest.skip('edgevl_ros is not installed with pip install -e')
    assert where_is_it_imported_from(dict(os.environ), tmp_path) == ROOT / 'edgevl_ros'
    programs = [Path(sys.executable).with_name(name) for name in PROGRAMS]
    assert [path for path in programs if not os.access(path, os.X_OK)] == []
