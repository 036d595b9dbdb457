# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Children end with the demo, however it ends; the node is started as a user would."""

from pathlib import Path
import signal
import subprocess
import sys
import time

from demo.errors import DemoError
from demo.processes import Children, isolate_from_robots, node_arguments, ROOT
import pytest

SLEEP = ['-c', 'import time; print("ready", flush=True); time.sleep(60)']


def alive(pid: int) -> bool:
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != 'Z'


def wait_for(condition, seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def test_a_child_is_stopped_when_the_story_fails(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), Children() as children:
        child = children.start('sleeper', SLEEP, tmp_path / 'log')
        raise ZeroDivisionError
    assert child.exit_code is not None
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def test_a_failed_child_is_reported_with_the_end_of_its_log(tmp_path: Path):
    code = 'import sys; print(*range(100), sep="\\n"); sys.exit("no camera")'
    with Children() as children:
        child = children.start('camera', ['-c', code], tmp_path / 'log')
        assert wait_for(lambda: child.exit_code is not None)
        with pytest.raises(DemoError, match='camera process ended with exit code 1') as caught:
            children.check()
    assert 'no camera' in str(caught.value)
    assert '\n50\n' not in str(caught.value)


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux tells a child of this')
def test_a_child_ends_when_the_demo_is_killed(tmp_path: Path):
    code = (
        'import pathlib, sys, time\n'
        'from demo.processes import Children\n'
        'children = Children().__enter__()\n'
        f'child = children.start("sleeper", {SLEEP!r}, pathlib.Path({str(tmp_path / "log")!r}))\n'
        'print(child._process.pid, flush=True)\n'
        'time.sleep(60)\n'
    )
    demo = subprocess.Popen([sys.executable, '-c', code], cwd=ROOT, stdout=subprocess.PIPE)
    with demo:
        pid = int(demo.stdout.readline())
        assert wait_for(lambda: 'ready' in (tmp_path / 'log').read_text())
        assert alive(pid)
        demo.kill()
    assert wait_for(lambda: not alive(pid))


def test_the_node_is_started_as_a_user_would():
    assert node_arguments({'image': '/a/b'}, {'vocabulary': '["x y"]'}) == [
        '-m', 'edgevl_ros.nodes.perception_node', '--ros-args',
        '-r', 'image:=/a/b', '-p', 'vocabulary:=["x y"]',
    ]


@pytest.mark.parametrize(
    ('distro', 'localhost_only', 'profiles'),
    [
        ('humble', '1', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        ('jazzy', None, 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        ('kilted', None, 'FASTDDS_DEFAULT_PROFILES_FILE'),
    ],
)
def test_the_demo_keeps_away_from_robots(distro: str, localhost_only, profiles: str):
    environment = {'ROS_DISTRO': distro, 'ROS_DOMAIN_ID': '0', 'ROS_STATIC_PEERS': '10.0.0.1'}
    isolate_from_robots(environment)
    assert 1 <= int(environment['ROS_DOMAIN_ID']) <= 101
    assert environment['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    assert environment.get('ROS_LOCALHOST_ONLY') == localhost_only
    assert 'ROS_STATIC_PEERS' not in environment
    assert Path(environment[profiles]).is_file()
