# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node of the robot runs what the workstation has adapted."""

import pytest

pytest.importorskip('rclpy', reason='the node needs ROS 2')
pytest.importorskip('vision_msgs', reason='the node publishes vision_msgs')

from edgevl_ros.core.bundle import Bundle  # noqa: E402, I100
import numpy as np  # noqa: E402
from support.camera_bag import millimetres, picture  # noqa: E402
from support.perception_process import (  # noqa: E402
    Client,
    depth16,
    PerceptionProcess,
    rgb8,
)

SECOND = 1_000_000_000


def test_the_node_labels_colour_and_depth_with_an_adapted_bundle(
    adapted, tmp_path, ros_domain_id
):
    labels = set(Bundle.open(adapted / 'bundle').vocabulary.labels)
    process = PerceptionProcess(
        tmp_path / 'log', ros_domain_id, '-p', f'bundle:={adapted / "bundle"}')
    client = Client(ros_domain_id)
    try:
        for topic, message in (
            ('/image', rgb8(picture(1), SECOND)),
            ('/depth', depth16(millimetres(1).astype(np.float32) / 1000, 5 * SECOND)),
        ):
            scene = client.label_of(topic, message)
            assert {result.class_id for result in scene.results} == labels
            assert sum(result.score for result in scene.results) == pytest.approx(1, abs=1e-5)
        assert process.interrupt()[0] == 0, process.output
    finally:
        client.close()
        process.stop()
