# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node where TensorRT is asked for and cannot be had."""
from __future__ import annotations

from edgevl_ros.backends.cuda import open_cuda
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
    rgb8,
)
from support.tiny_bundle import solid  # noqa: E402

RED = solid(255, 0, 0)
SECOND = 1_000_000_000


@pytest.fixture(name='node')
def fixture_node(tiny_bundle, tmp_path, ros_domain_id):
    """Start the node with TensorRT asked for, and speak to it."""
    try:
        open_cuda()
    except BackendError:
        pass
    else:
        pytest.skip('there is a GPU here')
    process = PerceptionProcess(
        tmp_path / 'node.log', ros_domain_id, '-p', f'bundle:={tiny_bundle}',
        '-p', 'backend:=tensorrt', '-p', f'engine_cache:={tmp_path / "engines"}')
    client = Client(ros_domain_id)
    yield process, client
    client.close()
    process.stop()


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
    assert seconds < 5
    assert 'Traceback' not in process.output
