# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's child processes: started as a user would, watched, and always stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import ctypes
import os
from pathlib import Path
import signal
import subprocess
import sys
import types

from demo.errors import DemoError
from demo.ros_domain import free_domain_id

ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 5.0
LOG_LINES = 15
LIBC = ctypes.CDLL(None) if sys.platform == 'linux' else None
PR_SET_PDEATHSIG = 1


def isolate_from_robots(environment: dict[str, str] | os._Environ[str]) -> None:
    """
    Keep the demo's ROS traffic on this machine and apart from any robot's.

    Sets an own ROS_DOMAIN_ID (within 1..101, safe on every platform) and localhost-only
    discovery, in the variables that Humble and later distributions read, and gives Fast DDS, the
    usual middleware, shared memory that holds whole images.
    """
    environment['ROS_DOMAIN_ID'] = str(free_domain_id())
    environment['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    environment.pop('ROS_STATIC_PEERS', None)
    environment.pop('ROS_LOCALHOST_ONLY', None)
    distro = environment.get('ROS_DISTRO') or environment.get('ROS_DISTRO_WHEELS') or 'jazzy'
    if distro == 'humble':
        environment['ROS_LOCALHOST_ONLY'] = '1'
    # Later distributions read only the new name and warn of the old one.
    prefix = 'FASTRTPS' if distro in ('humble', 'jazzy') else 'FASTDDS'
    profile = ROOT / 'config' / 'fastdds_large_images.xml'
    environment[f'{prefix}_DEFAULT_PROFILES_FILE'] = str(profile)


class Child:
    """A process of our own, whose output goes to a log file."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        """Start ``python`` with these arguments in a session of its own, out of Ctrl-C's reach."""
        self.name = name
        self.log = log
        with log.open('wb') as output:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**os.environ, 'PYTHONUNBUFFERED': '1'},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Unsafe only where it takes locks; it makes one system call.
                preexec_fn=_end_with_parent if LIBC else None,  # noqa: PLW1509
            )

    @property
    def exit_code(self) -> int | None:
        """Give the exit code, or None while the process runs."""
        return self._process.poll()

    def log_tail(self) -> str:
        """Give the last lines of the log."""
        lines = self.log.read_text(encoding='utf-8', errors='replace').splitlines()
        return '\n'.join(lines[-LOG_LINES:]) or '(its log is empty)'

    def check(self) -> None:
        """
        Check that the process has not failed.

        :raises DemoError: with its last log lines, when it ended with anything but success.
        """
        if self.exit_code:
            raise DemoError(
                f'the {self.name} process ended with exit code {self.exit_code}; '
                f'the end of {self.log}:\n{self.log_tail()}'
            )

    def stop(self) -> None:
        """Ask the process to end as Ctrl-C does, then more firmly; returns once it is gone."""
        for request in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if self.exit_code is not None:
                return
            self._process.send_signal(request)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue


class Children:
    """A context that stops every process started in it, whatever happened inside."""

    def __init__(self) -> None:
        """Start without any."""
        self._children: list[Child] = []

    def __enter__(self) -> Children:
        """Enter the context."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        """Stop the children, the last one first, and let no second Ctrl-C interrupt that."""
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for child in reversed(self._children):
            child.stop()
        signal.signal(signal.SIGINT, handler)

    def start(self, name: str, arguments: Sequence[str], log: Path) -> Child:
        """Start ``python`` with these arguments as a child with this name and log file."""
        child = Child(name, arguments, log)
        self._children.append(child)
        return child

    def check(self) -> None:
        """
        Check every child.

        :raises DemoError: when one has failed.
        """
        for child in self._children:
            child.check()


def _end_with_parent() -> None:
    """Have the kernel interrupt this process when its parent dies, even by ``kill -9``."""
    assert LIBC is not None
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def node_arguments(
    remappings: Mapping[str, str], parameters: Mapping[str, str]
) -> list[str]:
    """Build the command line of the perception node from names and YAML values."""
    arguments = ['-m', 'edgevl_ros.nodes.perception_node', '--ros-args']
    for name, topic in remappings.items():
        arguments += ['-r', f'{name}:={topic}']
    for name, value in parameters.items():
        arguments += ['-p', f'{name}:={value}']
    return arguments
