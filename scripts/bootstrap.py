# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Make the private ``.venv`` of this repository and run the project in it.

    python3 scripts/bootstrap.py venv     everything that a developer needs, torch among it
    python3 scripts/bootstrap.py demo     install the little that the demo needs, then run it
    python3 scripts/bootstrap.py test     install what the tests need, then run them
    python3 scripts/bootstrap.py clean    remove all that the other commands have made

The Makefile passes its variables on in the environment. Only the standard library is used, and
only syntax that any Python 3.8 reads, so that an unsuitable Python can still say that it is one.

Each step leaves a stamp that holds a hash of everything it was made from. A step whose stamp
matches is skipped. A step that was begun and not ended (power cut, kill -9) condemns the whole
``.venv``, because nobody knows what such a step left behind: the next run starts afresh.
"""
from __future__ import annotations

import argparse
import fcntl
from functools import partial
import hashlib
import json
import os
from pathlib import Path
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / 'scripts'
INTERFACES = ROOT / 'interfaces'
VENV = ROOT / '.venv'
VENV_PYTHON = VENV / 'bin' / 'python'
STAMPS = VENV / '.bootstrap'
LOGS = ROOT / 'build' / 'bootstrap'
READY = VENV / '.ready'

SUPPORTED = ('3.13', '3.12', '3.11', '3.10')
DEFAULT_DISTRO = 'jazzy'
DISTROS = ('jazzy', 'kilted')
# Neither is among the wheels. Only what the node imports is asked of an installed ROS.
BUILT_MESSAGES = ('vision_msgs', 'nav2_msgs')
SYSTEM_MESSAGES = ('vision_msgs',)

EVERYTHING = ('demo', 'test', 'training')
# PyPI's torch loads its CUDA libraries on a machine without a GPU too: 6.6 GB, and the wheels of
# 2.9 GB once in pip's cache and once unpacked from it.
TRAINING_BYTES = 13 * 10**9

PROBE = """
import importlib.util as u, json, os, sys, sysconfig
try:
    import rclpy
except ImportError:
    rclpy = None
print(json.dumps({
    'executable': sys.executable,
    'version': '%d.%d' % sys.version_info[:2],
    'full_version': sys.version,
    'venv': all(u.find_spec(m) for m in ('venv', 'ensurepip')),
    'header': os.path.isfile(os.path.join(sysconfig.get_path('include'), 'Python.h')),
    'rclpy': rclpy is not None,
}))
"""


class CannotBootstrap(Exception):
    """Something that only the person at the keyboard can mend, said in one line."""


def say(text):
    """Print one line with the seconds since the start."""
    print(f'[{time.monotonic() - START:4.0f} s] {text}', flush=True)


START = time.monotonic()


# The environment and the interpreter


def clean_environment(environ):
    """
    Return the environment for a ROS that lives in ``.venv`` and nowhere else.

    Drops what a sourced ROS installation, another virtual environment or the ROS wheels of the
    Python that runs this file have put there: each of them would leak into the new one.
    """
    unwanted = (
        '_ROS_WHEELS_BOOTSTRAP_COMPLETE', 'AMENT_PREFIX_PATH', 'CMAKE_PREFIX_PATH',
        'COLCON_PREFIX_PATH', 'LD_LIBRARY_PATH', 'PIP_USER', 'PYTHONHOME', 'PYTHONPATH',
        'ROS_DISTRO', 'ROS_PYTHON_VERSION', 'ROS_VERSION', 'VIRTUAL_ENV')
    return {name: value for name, value in environ.items() if name not in unwanted}


def probe(command, environ):
    """Ask one interpreter what it is; None when it does not run."""
    path = shutil.which(command, path=environ.get('PATH'))
    if path is None:
        return None
    answer = subprocess.run(
        [path, '-c', PROBE], env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        return json.loads(answer.stdout)
    except ValueError:
        return None


def find_sourced_ros(environ):
    """
    Return the probe of the Python of the ROS 2 that is sourced, or None.

    That Python need not be the first on the path: with pyenv or conda it often is not, and only
    the Python that ROS was built for can load its rclpy.
    """
    if not environ.get('ROS_DISTRO'):
        return None
    wanted = environ.get('PYTHON')
    for command in [wanted] if wanted else ['python3', '/usr/bin/python3']:
        found = probe(command, environ)
        if found and found['version'] in SUPPORTED and found['rclpy']:
            return found
    say(f'ROS 2 {environ["ROS_DISTRO"]} is sourced, but {command} cannot import its rclpy: '
        'going on with wheels')
    return None


def choose_python(environ):
    """
    Return the probe of the interpreter to build on.

    ``PYTHON`` where it is set, else ``python3`` if it is a supported version, else the newest
    supported ``python3.N`` on the path.

    :raises CannotBootstrap: where there is none, or the one named is not supported.
    """
    wanted = environ.get('PYTHON')
    for command in [wanted] if wanted else ['python3', *(f'python{v}' for v in SUPPORTED)]:
        found = probe(command, environ)
        if found and found['version'] in SUPPORTED:
            return found
        if wanted:
            what = f'is Python {found["version"]}' if found else 'does not run'
            raise CannotBootstrap(
                f'PYTHON={wanted} {what}: name a Python 3.10, 3.11, 3.12 or 3.13.')
    raise CannotBootstrap(
        'No Python 3.10, 3.11, 3.12 or 3.13 found: install one, or name it: make demo '
        'PYTHON=/path/to/python3.12')


def check_toolchain(python, environ):
    """
    Check what pip cannot bring: the venv module, the C and C++ compilers, Python's headers.

    :raises CannotBootstrap: naming the first that is missing and how to install it.
    """
    machine = f'{platform.system()} {platform.machine()}'
    if machine != 'Linux x86_64':
        raise CannotBootstrap(
            f'There are no ROS 2 wheels for {machine}: install ROS 2, source its setup.bash and '
            'run make again.')
    version = python['version']
    if not python['venv']:
        raise CannotBootstrap(
            f'{python["executable"]} has no venv module: sudo apt install python{version}-venv')
    for variable, commands, name in (
            ('CC', ('cc', 'gcc', 'clang'), 'C'), ('CXX', ('c++', 'g++', 'clang++'), 'C++')):
        wanted = shlex.split(environ.get(variable, ''))[:1] or commands
        if not any(shutil.which(command, path=environ.get('PATH')) for command in wanted):
            raise CannotBootstrap(
                f'No {name} compiler found (looked for {", ".join(wanted)}): '
                'sudo apt install build-essential')
    if not python['header']:
        raise CannotBootstrap(
            f'{python["executable"]} has no Python.h: sudo apt install python{version}-dev')


def check_disk_space(folder=ROOT, needed=TRAINING_BYTES):
    """
    Check before the large download of torch that it can be unpacked.

    :raises CannotBootstrap: saying how much is missing.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CannotBootstrap(
            f'torch and what else training needs take {needed / 1e9:.0f} GB of disk space, but '
            f'{folder} has {free / 1e9:.1f} GB left: free {(needed - free) / 1e9:.1f} GB and run '
            'make again ("make demo" needs none of it).')


# Commands with a log


def run_logged(step, command, environ):
    """
    Run a command silently; on failure show the end of what it said.

    :raises CannotBootstrap: with the place of the whole log.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f'{step}.log'
    with log.open('a') as output:
        output.write('$ ' + ' '.join(map(str, command)) + '\n')
        output.flush()
        code = subprocess.run(
            command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT).returncode
    if code:
        tail = log.read_text(errors='replace').splitlines()[-25:]
        print('\n'.join(tail), file=sys.stderr)
        if any('No space left on device' in line for line in tail):
            raise CannotBootstrap(
                f'The disk was full in the step "{step}": free some of it, or name a roomier '
                f'place for temporary files with TMPDIR; the whole log is {log}')
        raise CannotBootstrap(f'The step "{step}" failed; its whole log is {log}')


def pip_install(step, arguments, environ):
    """Install with the pip of ``.venv``."""
    run_logged(step, [
        VENV_PYTHON, '-m', 'pip', 'install', '--disable-pip-version-check', '--no-input',
        '--no-warn-script-location', '--no-compile', *arguments], environ)


# Stamped steps


def digest(*parts):
    """Hash strings and the contents of files, or of all files below folders."""
    total = hashlib.sha256()
    for part in parts:
        files = [part] if isinstance(part, Path) else []
        if files and part.is_dir():
            files = sorted(path for path in part.rglob('*') if path.is_file())
        for path in files:
            total.update(str(path.relative_to(ROOT)).encode() + b'\0')
            total.update(hashlib.sha256(path.read_bytes()).digest())
        if not files:
            total.update(str(part).encode() + b'\0')
    return total.hexdigest()


def write_atomically(path, text):
    """Write a small file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + '.new')
    temporary.write_text(text)
    temporary.replace(path)


def interrupted_steps(stamps=STAMPS):
    """Name the steps that were begun and never ended."""
    return sorted(path.stem for path in stamps.glob('*.begun'))


class Stamps:
    """
    The steps done so far, each chained to those before it.

    A change of an early step (another Python, other ROS pins) so makes all later ones new.
    """

    def __init__(self, folder):
        """Keep the stamps in a folder, which must live inside what they vouch for."""
        self.folder = folder
        self.chain = ''

    def link(self, name, key):
        """Return the hash of a step's own inputs and of all steps linked before it."""
        self.chain = digest(self.chain, name, key)
        return self.chain

    def is_done(self, name, link):
        """Tell whether the step was ended with the same inputs."""
        stamp = self.folder / f'{name}.done'
        return stamp.is_file() and stamp.read_text() == link

    def do(self, name, link, action):
        """Run the step between two marks, so that a crash in it is seen later."""
        begun = self.folder / f'{name}.begun'
        (self.folder / f'{name}.done').unlink(missing_ok=True)
        write_atomically(begun, '')
        try:
            action()
        except CannotBootstrap:
            # The command failed and said so: pip and CMake have left nothing half done.
            begun.unlink()
            raise
        write_atomically(self.folder / f'{name}.done', link)
        begun.unlink()


class Installer:
    """Makes ``.venv``, in steps that are each done once."""

    def __init__(self, environ, distro):
        """Choose the Python and the ROS to build on; nothing is written yet."""
        if distro not in DISTROS:
            raise CannotBootstrap(
                f'ROS_DISTRO_WHEELS={distro} is unknown: there are wheels for '
                f'{" and ".join(DISTROS)}.')
        self.distro = distro
        self.python = find_sourced_ros(environ)
        self.system_ros = environ['ROS_DISTRO'] if self.python else None
        self.environ = dict(environ) if self.system_ros else clean_environment(environ)
        self.python = self.python or choose_python(self.environ)
        self.stamps = Stamps(STAMPS)

    def install(self, extras):
        """Bring ``.venv`` up to the wanted extras of setup.py, doing only what is new."""
        broken = interrupted_steps()
        if broken:
            say(f'an earlier run was interrupted in "{broken[0]}": starting afresh')
            shutil.rmtree(VENV)
        name = f'ROS 2 {self.system_ros}' if self.system_ros else f'ROS 2 {self.distro} wheels'
        key = digest(self.python['full_version'], self.python['executable'], str(VENV), name)
        steps = [('venv', key, f'.venv on Python {self.python["version"]}', self.make_venv)]
        if self.system_ros:
            steps.append(('messages', '', f'messages of {name}', self.check_system_messages))
        else:
            pins = SCRIPTS / f'requirements-ros-{self.distro}.txt'
            steps.append(('ros', digest(pins), name, partial(self.pip_pinned, 'ros', pins)))
            steps.append((
                'messages', digest(INTERFACES), 'message packages ' + ', '.join(BUILT_MESSAGES),
                self.build_messages))
        for extra in extras:
            pins = SCRIPTS / f'requirements-{extra}.txt'
            steps.append((
                extra, digest(ROOT / 'setup.py' if self.system_ros else pins),
                f'Python packages of "{extra}"',
                partial(self.install_extra, extra, pins)))
        steps.append((
            'project',
            digest(*(ROOT / f for f in ('setup.py', 'setup.cfg', 'pyproject.toml'))),
            'edgevl_ros itself, editable', self.install_project))
        links = [(self.stamps.link(name, key), name, *rest) for name, key, *rest in steps]
        todo = [link for link in links if not self.stamps.is_done(link[1], link[0])]
        if todo and self.system_ros is None:
            check_toolchain(self.python, self.environ)
        for chain, name, description, action in todo:
            READY.unlink(missing_ok=True)
            say(f'installing {description}')
            self.stamps.do(name, chain, action)
        if not READY.is_file():
            write_atomically(READY, '')
            say('installed')

    def make_venv(self):
        """Make an empty virtual environment in place of whatever was there."""
        # The marks of this very step live in the folder that is about to be emptied.
        for path in VENV.iterdir():
            if path != STAMPS:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for stamp in STAMPS.glob('*.done'):
            stamp.unlink()
        shutil.rmtree(LOGS, ignore_errors=True)
        options = ['--system-site-packages'] if self.system_ros else []
        run_logged(
            'venv', [self.python['executable'], '-m', 'venv', *options, VENV], self.environ)

    def pip_pinned(self, step, pins):
        """Install exactly the versions of a pins file."""
        pip_install(step, ['--no-deps', '-r', pins], self.environ)

    def build_messages(self):
        """Build the message packages that a ROS machine has from apt."""
        relocate_cmake_files(VENV, self.python['version'])
        for package in BUILT_MESSAGES:
            build = LOGS.parent / 'interfaces' / package
            shutil.rmtree(build, ignore_errors=True)
            cmake = VENV / 'bin' / 'cmake'
            run_logged('messages', [
                cmake, '-S', INTERFACES / package, '-B', build, '-G', 'Ninja',
                f'-DCMAKE_MAKE_PROGRAM={VENV / "bin" / "ninja"}',
                f'-DCMAKE_PREFIX_PATH={VENV}', f'-DCMAKE_INSTALL_PREFIX={VENV}',
                f'-DPython3_EXECUTABLE={VENV_PYTHON}', '-DBUILD_TESTING=OFF'], self.environ)
            run_logged('messages', [cmake, '--build', build], self.environ)
            run_logged('messages', [cmake, '--install', build], self.environ)

    def check_system_messages(self):
        """
        Check the message packages of the ROS installation that is used.

        :raises CannotBootstrap: with the apt command for those that are missing.
        """
        code = 'import importlib.util as u, sys; sys.exit(u.find_spec(sys.argv[1]) is None)'
        missing = [
            package for package in SYSTEM_MESSAGES
            if subprocess.run([VENV_PYTHON, '-c', code, package], env=self.environ).returncode]
        if missing:
            names = ' '.join(
                f'ros-{self.system_ros}-{package.replace("_", "-")}' for package in missing)
            raise CannotBootstrap(f'Missing message packages: sudo apt install {names}')

    def install_extra(self, extra, pins):
        """Install what an extra of setup.py names, pinned unless ROS brings its own NumPy."""
        if extra == 'training' and not any(VENV.glob('lib/python*/site-packages/torch')):
            check_disk_space()
        if not self.system_ros:
            self.pip_pinned(extra, pins)
            return
        # cv_bridge and OpenCV from apt load with any later NumPy of the same major version.
        # Holding apt's own does not do: Humble's is too old for what pip knows of ONNX Runtime.
        major = subprocess.run(
            [VENV_PYTHON, '-c', 'import numpy; print(numpy.__version__.split(".")[0])'],
            env=self.environ, stdout=subprocess.PIPE, text=True, check=True).stdout
        constraints = LOGS / 'constraints.txt'
        write_atomically(constraints, f'numpy<{int(major) + 1}\n')
        pip_install(extra, ['-c', constraints, '-e', f'{ROOT}[{extra}]'], self.environ)

    def install_project(self):
        """Install this repository, editable, without looking at its requirements again."""
        isolation = [] if self.system_ros else ['--no-build-isolation']
        pip_install('project', ['--no-deps', *isolation, '-e', ROOT], self.environ)


def relocate_cmake_files(prefix, version):
    """
    Replace the paths of the machine that built the ROS wheels by those of ``.venv``.

    Their CMake files name its Python headers and its numpy; both are wrong anywhere else.
    """
    include = subprocess.run(
        [VENV_PYTHON, '-c', 'import sysconfig; print(sysconfig.get_path("include"))'],
        stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    packages = f'{prefix}/lib/python{version}/site-packages'
    for path in sorted((prefix / 'share').rglob('*.cmake')):
        old = path.read_text(errors='surrogateescape')
        new = re.sub(r'/opt/python/cp3[^/;"]*/include/python3\.\d+', lambda _: include, old)
        new = re.sub(
            r'/opt/python/cp3[^/;"]*/lib/python3\.\d+/site-packages', lambda _: packages, new)
        if new != old:
            temporary = path.with_name(path.name + '.new')
            temporary.write_text(new, errors='surrogateescape')
            temporary.replace(path)


def install(extras):
    """Install under a lock: two terminals may both say ``make``. Return the environment."""
    installer = Installer(
        os.environ, os.environ.get('ROS_DISTRO_WHEELS') or DEFAULT_DISTRO)
    with (ROOT / '.venv.lock').open('w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say('another make is installing; waiting for it')
            fcntl.flock(lock, fcntl.LOCK_EX)
        installer.install(extras)
    return installer.environ


# Commands


def extra_arguments():
    """Return the words of ARGS."""
    return shlex.split(os.environ.get('ARGS', ''))


def demo_command():
    """Return the demo's command line: the Makefile's variables are its options."""
    options = (
        ('BAG', '--bag'), ('TRUTH', '--truth'), ('COLOR_TOPIC', '--rgb-topic'),
        ('DEPTH_TOPIC', '--depth-topic'))
    command = [VENV_PYTHON, '-m', 'demo']
    for variable, option in options:
        if os.environ.get(variable):
            command += [option, os.environ[variable]]
    return command + extra_arguments()


def run_venv():
    """Install everything."""
    install(EVERYTHING)
    return 0


def run_demo():
    """Install the demo and run it."""
    environ = install(('demo',))
    os.chdir(ROOT)
    # In place of this process, so that Ctrl-C reaches the demo and nothing cuts its ending short.
    os.execve(VENV_PYTHON, demo_command(), environ)


def run_test():
    """Install, then check with ruff, mypy and pytest; pytest has the last word on the screen."""
    environ = install(EVERYTHING)
    tests = ['pytest', '--timeout=300', *extra_arguments()]
    codes = []
    for tool in (['ruff', 'check', '.'], ['mypy'], tests):
        say('running ' + ' '.join(tool))
        codes.append(
            subprocess.run([VENV_PYTHON, '-m', *tool], cwd=ROOT, env=environ).returncode)
    return max(map(abs, codes))


def run_clean():
    """Remove everything that the other commands have made."""
    for name in ('.venv', 'build', 'demo_output', '.mypy_cache', '.pytest_cache', '.ruff_cache',
                 '.hypothesis', 'edgevl_ros.egg-info'):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    return 0


def main():
    """Run one command; return its exit code."""
    commands = {'venv': run_venv, 'demo': run_demo, 'test': run_test, 'clean': run_clean}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('command', choices=commands)
    try:
        return commands[parser.parse_args().command]()
    except CannotBootstrap as problem:
        print(f'edgevl_ros: {problem}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == '__main__':
    sys.exit(main())
