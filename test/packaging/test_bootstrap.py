# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""It picks a Python, skips what is done, mistrusts what was cut off, names what lacks."""
from __future__ import annotations

import importlib.util
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy
import pytest
from support.source_tree import ROOT

BASE_PYTHON = Path(sys.base_prefix) / 'bin' / f'python3.{sys.version_info.minor}'
OTHERS = [version for version in ('3.13', '3.12', '3.11', '3.10')
          if version != f'3.{sys.version_info.minor}']


@pytest.fixture(scope='module')
def bootstrap():
    """Load scripts/bootstrap.py, which is no part of a package."""
    spec = importlib.util.spec_from_file_location('bootstrap', ROOT / 'scripts' / 'bootstrap.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def search_path(tmp_path):
    """Give an empty folder to serve as PATH, and a way to put interpreters into it."""
    folder = tmp_path / 'bin'
    folder.mkdir()

    def add(name, version=None):
        program = folder / name
        if version is None:
            program.symlink_to(BASE_PYTHON)
        else:
            program.write_text(
                '#!/bin/sh\n'
                f'echo \'{{"version": "{version}", "executable": "{program}"}}\'\n')
            program.chmod(0o755)
        return str(program)

    add.environ = {'PATH': str(folder)}
    return add


def test_python3_is_taken_when_it_is_supported(bootstrap, search_path):
    search_path('python3')
    search_path(f'python{OTHERS[0]}', OTHERS[0])
    found = bootstrap.choose_python(search_path.environ)
    assert found['version'] == f'3.{sys.version_info.minor}'
    assert found['venv']


@pytest.mark.parametrize('unsuitable', ['3.9', '3.14', '2.7'])
def test_the_newest_supported_python_replaces_an_unsuitable_one(
        bootstrap, search_path, unsuitable):
    search_path('python3', unsuitable)
    search_path('python3.10', '3.10')
    search_path('python3.12', '3.12')
    assert bootstrap.choose_python(search_path.environ)['version'] == '3.12'


def test_an_interpreter_that_does_not_run_is_passed_over(bootstrap, search_path):
    broken = Path(search_path('python3', '3.12'))
    broken.write_text('#!/bin/sh\nexit 127\n')
    search_path('python3.10', '3.10')
    assert bootstrap.choose_python(search_path.environ)['version'] == '3.10'


def test_the_named_python_wins_or_is_refused(bootstrap, search_path):
    search_path('python3', '3.12')
    named = search_path('mine', '3.11')
    environ = {**search_path.environ, 'PYTHON': named}
    assert bootstrap.choose_python(environ)['version'] == '3.11'
    old = search_path('old', '3.8')
    with pytest.raises(bootstrap.CannotBootstrap, match=r'old is Python 3\.8: name a Python'):
        bootstrap.choose_python({**environ, 'PYTHON': old})
    with pytest.raises(bootstrap.CannotBootstrap, match='PYTHON=/nowhere does not run'):
        bootstrap.choose_python({**environ, 'PYTHON': '/nowhere'})


def test_no_python_is_one_clear_sentence(bootstrap, search_path):
    with pytest.raises(bootstrap.CannotBootstrap, match='No Python 3.10, 3.11, 3.12 or 3.13'):
        bootstrap.choose_python(search_path.environ)


def copy_of_the_bootstrap(folder):
    """Copy what 'make venv' reads."""
    for name in ('scripts', 'interfaces'):
        shutil.copytree(ROOT / name, folder / name)
    for name in ('setup.py', 'setup.cfg', 'pyproject.toml'):
        shutil.copy(ROOT / name, folder / name)
    return folder / 'scripts' / 'bootstrap.py'


@pytest.mark.parametrize(('present', 'missing'), [((), 'C'), (('cc',), r'C\+\+')])
def test_a_missing_compiler_is_one_line_and_leaves_nothing(
        search_path, tmp_path, present, missing):
    search_path('python3')
    for name in present:
        search_path(name, '')
    script = copy_of_the_bootstrap(tmp_path / 'repository')
    done = subprocess.run(
        [BASE_PYTHON, script, 'venv'], env=search_path.environ, capture_output=True, text=True)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert re.match(
        f'edgevl_ros: No {missing} compiler found .*: sudo apt install build-essential$',
        done.stderr)
    assert not (tmp_path / 'repository' / '.venv').exists()


def test_too_small_a_disk_is_told_before_the_download(bootstrap, tmp_path):
    bootstrap.check_disk_space(tmp_path, needed=1000)
    with pytest.raises(bootstrap.CannotBootstrap) as refusal:
        bootstrap.check_disk_space(tmp_path, needed=10**18)
    assert re.search(
        r'take 1000000000 GB of disk space, but .* has [0-9.]+ GB left: free [0-9.]+ GB and run '
        r'make again \("make demo" needs none of it\)\.$', str(refusal.value))


@pytest.mark.parametrize(('extra', 'installed', 'asked'), [
    ('training', False, True), ('training', True, False), ('demo', False, False)])
def test_the_disk_is_asked_only_before_torch(
        bootstrap, monkeypatch, tmp_path, extra, installed, asked):
    questions, installations = [], []
    monkeypatch.setattr(bootstrap, 'VENV', tmp_path)
    monkeypatch.setattr(bootstrap, 'check_disk_space', lambda: questions.append(extra))
    if installed:
        (tmp_path / 'lib' / 'python3.11' / 'site-packages' / 'torch').mkdir(parents=True)
    installer = bootstrap.Installer.__new__(bootstrap.Installer)
    installer.system_ros = None
    installer.pip_pinned = lambda *call: installations.append(call)
    installer.install_extra(extra, Path('pins'))
    assert questions == [extra] * asked
    assert installations == [(extra, Path('pins'))]


def test_a_disk_that_is_full_all_the_same_is_told_in_one_line(
        bootstrap, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bootstrap, 'LOGS', tmp_path)
    message = 'ERROR: Could not install packages: [Errno 28] No space left on device'
    with pytest.raises(bootstrap.CannotBootstrap, match='disk was full in the step "training"'):
        bootstrap.run_logged('training', ['sh', '-c', f'echo "{message}"; exit 1'], {})
    assert message in capsys.readouterr().err


def test_every_step_of_packages_has_its_extra_and_its_pins(bootstrap):
    setup = (ROOT / 'setup.py').read_text()
    for extra in bootstrap.EVERYTHING:
        assert f"'{extra}': " in setup
        assert (ROOT / 'scripts' / f'requirements-{extra}.txt').is_file()


def test_the_pins_of_one_package_agree_in_all_files():
    versions = {}
    for path in (ROOT / 'scripts').glob('requirements-*.txt'):
        for line in path.read_text().splitlines():
            if line and not line.startswith(('#', 'ros-')):
                pin, _, marker = line.partition(' ; ')
                versions.setdefault(pin.split('==')[0], {}).setdefault(marker, set()).add(pin)
    assert {'numpy', 'protobuf', 'torch'} <= set(versions)
    assert [pins for markers in versions.values() for pins in markers.values()
            if len(pins) > 1] == []


def test_the_demo_installs_no_torch():
    pins = (ROOT / 'scripts' / 'requirements-demo.txt').read_text()
    assert 'numpy==' in pins
    assert 'torch==' not in pins


def test_unknown_wheels_are_refused(bootstrap):
    with pytest.raises(bootstrap.CannotBootstrap, match='ROS_DISTRO_WHEELS=foxy is unknown'):
        bootstrap.Installer({'PATH': os.environ['PATH']}, 'foxy')


def test_a_stamp_holds_until_its_step_or_an_earlier_one_changes(bootstrap, tmp_path):
    def links(*keys):
        stamps = bootstrap.Stamps(tmp_path)
        return stamps, [stamps.link(f'step{n}', key) for n, key in enumerate(keys)]

    stamps, old = links('a', 'b', 'c')
    for number, link in enumerate(old):
        stamps.do(f'step{number}', link, lambda: None)
    for keys, expected in (
            ('abc', [True, True, True]), ('abx', [True, True, False]),
            ('axc', [True, False, False]), ('xbc', [False, False, False])):
        stamps, new = links(*keys)
        assert [stamps.is_done(f'step{n}', link) for n, link in enumerate(new)] == expected
    assert bootstrap.interrupted_steps(tmp_path) == []


def test_a_step_that_fails_is_neither_done_nor_suspect(bootstrap, tmp_path):
    def fail():
        raise bootstrap.CannotBootstrap('no network')

    stamps = bootstrap.Stamps(tmp_path)
    link = stamps.link('ros', '')
    with pytest.raises(bootstrap.CannotBootstrap):
        stamps.do('ros', link, fail)
    assert not stamps.is_done('ros', link)
    assert bootstrap.interrupted_steps(tmp_path) == []


def test_a_step_that_is_killed_is_suspect(bootstrap, tmp_path):
    code = (
        'import os, pathlib, signal, sys; sys.path.insert(0, sys.argv[1]); import bootstrap; '
        'bootstrap.Stamps(pathlib.Path(sys.argv[2])).do('
        '"ros", "link", lambda: os.kill(os.getpid(), signal.SIGKILL))')
    done = subprocess.run([sys.executable, '-c', code, ROOT / 'scripts', tmp_path])
    assert done.returncode == -9
    assert bootstrap.interrupted_steps(tmp_path) == ['ros']
    assert not bootstrap.Stamps(tmp_path).is_done('ros', 'link')


def test_what_another_ros_left_in_the_environment_does_not_leak(bootstrap):
    environ = {'PATH': '/bin', 'ROS_DISTRO': 'humble', 'PYTHONPATH': '/opt', 'BAG': 'x'}
    assert bootstrap.clean_environment(environ) == {'PATH': '/bin', 'BAG': 'x'}


def test_the_variables_of_make_are_the_options_of_the_demo(bootstrap, monkeypatch):
    for name in ('TRUTH', 'COLOR_TOPIC', 'DEPTH_TOPIC'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('BAG', 'my bags/tour')
    monkeypatch.setenv('DEPTH_TOPIC', '/depth')
    monkeypatch.setenv('ARGS', "--vocabulary 'living room'")
    assert bootstrap.demo_command()[1:] == [
        '-m', 'demo', '--bag', 'my bags/tour', '--depth-topic', '/depth', '--vocabulary',
        'living room']


@pytest.fixture
def on_a_ros_machine(bootstrap, monkeypatch, tmp_path):
    """Give an installer that takes this very Python for the one of a sourced ROS."""
    monkeypatch.setattr(bootstrap, 'VENV_PYTHON', sys.executable)
    monkeypatch.setattr(bootstrap, 'LOGS', tmp_path)
    installer = bootstrap.Installer.__new__(bootstrap.Installer)
    installer.system_ros, installer.environ = 'humble', dict(os.environ)
    return installer


def test_an_installed_ros_is_asked_for_what_package_xml_names(
        bootstrap, on_a_ros_machine, monkeypatch):
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    declared = {node.text for node in manifest.iter('exec_depend')}
    assert set(bootstrap.SYSTEM_MESSAGES) <= declared
    monkeypatch.setattr(bootstrap, 'SYSTEM_MESSAGES', ('json', 'no_such_msgs'))
    with pytest.raises(bootstrap.CannotBootstrap, match='apt install ros-humble-no-such-msgs$'):
        on_a_ros_machine.check_system_messages()


def test_beside_an_installed_ros_numpy_keeps_its_major_version(
        bootstrap, on_a_ros_machine, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(bootstrap, 'pip_install', lambda *call: calls.append(call))
    on_a_ros_machine.install_extra('demo', None)
    [(_, arguments, _)] = calls
    assert arguments[:2] == ['-c', tmp_path / 'constraints.txt']
    major = int(numpy.__version__.split('.')[0])
    assert (tmp_path / 'constraints.txt').read_text() == f'numpy<{major + 1}\n'


def test_wheels_are_relocated_to_this_machine(bootstrap, tmp_path, monkeypatch):
    cmake = tmp_path / 'share' / 'pkg' / 'cmake' / 'x.cmake'
    cmake.parent.mkdir(parents=True)
    cmake.write_text(
        'INCLUDE "/opt/python/cp312-cp312/include/python3.12;'
        '/opt/python/cp312-cp312/lib/python3.12/site-packages/numpy/_core/include"\n')
    monkeypatch.setattr(bootstrap, 'VENV_PYTHON', sys.executable)
    bootstrap.relocate_cmake_files(tmp_path, '3.12')
    header, numpy = cmake.read_text().split('"')[1].split(';')
    assert (Path(header) / 'Python.h').is_file()
    assert numpy == f'{tmp_path}/lib/python3.12/site-packages/numpy/_core/include'


def test_make_without_a_target_explains_itself():
    make = shutil.which('make')
    if make is None:
        pytest.skip('make is not installed')
    shown = subprocess.run([make, '-s', '-C', ROOT], stdout=subprocess.PIPE, text=True, check=True)
    for target in ('make demo', 'make test', 'make venv', 'make clean'):
        assert target in shown.stdout
