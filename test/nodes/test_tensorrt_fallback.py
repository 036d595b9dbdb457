# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node where TensorRT is asked for and cannot be had."""
from __future__ import annotations

import contextlib

from edgevl_ros.backends.cuda import open_cuda
from edgevl_ros.core.bundle import STARTER
from edgevl_ros.core.errors import BackendError
import pytest

pytest.importorskip('rclpy', reason='the node needs ROS 2')
pytest.importorskip('vision_msgs', reason='the node publishes vision_msgs')
pytest.importorskip('onnx', reason='onnx builds the small bundle that the node runs')

from support.perception_process import (  # noqa: E402, I100
    ACTIVATE,
    CLEANUP,
    Client,
    CONFIGURE,
    DEACTIVATE,
    PerceptionProcess,
    PROGRAM,
    rgb8,
)
from support.tiny_bundle import solid  # noqa: E402

RED = solid(255, 0, 0)
SECOND = 1_000_000_000


# A node that builds for a GPU which is not here, as `edgevl engine build --target` does.
BUILDS = """
import sys
from edgevl_ros.backends import upgrade
from edgevl_ros.backends.engine_recipe import Target
from edgevl_ros.backends.engines import Engines, open_cache
from edgevl_ros.backends.tensorrt_library import load_library
from edgevl_ros.nodes.perception_node import main

def find_engines(folder, say):
    return Engines(load_library('tensorrt_rtx'), Target((8, 6)), open_cache(folder, say))

upgrade.find_engines = find_engines
sys.exit(main())
"""


@pytest.fixture(name='start')
def fixture_start(tmp_path, ros_domain_id):
    """Start a node with TensorRT asked for, and speak to it."""
    try:
        open_cuda()
    except BackendError:
        pass
    else:
        pytest.skip('there is a GPU here')
    with contextlib.ExitStack() as stack:
        def start(bundle, *more, program=PROGRAM):
            process = PerceptionProcess(
                tmp_path / 'node.log', ros_domain_id, '-p', f'bundle:={bundle}',
                '-p', 'backend:=tensorrt', '-p', f'engine_cache:={tmp_path / "engines"}',
                *more, program=program)
            stack.callback(process.stop)
            client = Client(ros_domain_id)
            stack.callback(client.close)
            return process, client

        yield start


@pytest.fixture(name='node')
def fixture_node(start, tiny_bundle):
    return start(tiny_bundle)


def upgrade_of(status):
    return {value.key: value.value for value in status.values}.get('TensorRT', '')


def test_it_labels_with_onnxruntime_and_says_why_once(node):
    process, client = node
    assert client.label_of('/image', rgb8(RED, SECOND)).results[0].class_id == 'red'
    status = client.diagnostic(
        lambda s: upgrade_of(s).startswith('staying on onnxruntime'), 'the end of the upgrade')
    assert status.hardware_id == 'onnxruntime (CPUExecutionProvider)'
    (line,) = [line for line in process.output.splitlines() if 'staying on' in line]
    assert 'WARN' in line
    assert upgrade_of(status) in line
    assert 'check' in line or 'install' in line


def test_each_configuring_tries_again_and_ctrl_c_ends_it_cleanly(node):
    process, client = node
    client.wait_until_active()
    for transition in (DEACTIVATE, CLEANUP, CONFIGURE, ACTIVATE):
        assert client.change_state(transition)
    client.diagnostic(
        lambda s: upgrade_of(s).startswith('staying on onnxruntime'), 'the end of the upgrade')
    assert client.label_of('/image', rgb8(RED, SECOND)).results[0].class_id == 'red'
    assert process.output.count('staying on onnxruntime') == 2
    code, seconds = process.interrupt()
    assert code == 0, process.output
    assert seconds < 15
    assert 'Traceback' not in process.output


def test_cleaning_up_and_ctrl_c_end_a_build(start, tmp_path):
    """With the builder and a bundle that takes it a few seconds."""
    psutil = pytest.importorskip('psutil', reason='psutil finds the process that builds')
    pytest.importorskip(
        'tensorrt_rtx', reason='tensorrt_rtx is not installed', exc_type=ImportError)
    # Whoever started by itself could be done before the client has found its services.
    process, client = start(STARTER, '-p', 'autostart:=false', program=('-c', BUILDS))

    from support.builders import builders_of

    def builders():
        return builders_of(psutil.Process(process.process.pid))

    for transition in (CONFIGURE, ACTIVATE):
        assert client.change_state(transition)
    (first,) = client.spin_until(builders, 'the process that builds')
    for transition in (DEACTIVATE, CLEANUP):
        assert client.change_state(transition)
    assert not first.is_running()
    for transition in (CONFIGURE, ACTIVATE):
        assert client.change_state(transition)
    (second,) = client.spin_until(builders, 'the process that builds again')
    code, seconds = process.interrupt()
    assert code == 0, process.output
    assert seconds < 15
    _, alive = psutil.wait_procs([second], timeout=10)
    assert alive == []
    assert list((tmp_path / 'engines').glob('*.engine')) == []
    assert 'Traceback' not in process.output
