# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node with the starter bundle on recorded rooms, byte for byte as they were recorded."""

import csv
import os
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='the node needs ROS 2')
pytest.importorskip('vision_msgs', reason='the node publishes vision_msgs')

from rclpy.serialization import deserialize_message  # noqa: E402
from rosbags.highlevel import AnyReader  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from support.perception_process import Client, PerceptionProcess  # noqa: E402

if 'EDGEVL_TEST_DATA' not in os.environ:
    pytest.skip('EDGEVL_TEST_DATA does not name the test data', allow_module_level=True)

BAGS = Path(os.environ['EDGEVL_TEST_DATA']) / 'bags'
COLOR, DEPTH = '/camera/color/image_raw', '/camera/aligned_depth_to_color/image_raw'
REMAP = ('-r', f'image:={COLOR}', '-r', f'depth:={DEPTH}')
TYPES = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}


def messages(bag):
    """Read the image messages of a bag: topic and message, in the order of recording."""
    with AnyReader([BAGS / bag]) as reader:
        connections = [c for c in reader.connections if c.msgtype in TYPES]
        for connection, _, raw in reader.messages(connections=connections):
            yield connection.topic, deserialize_message(raw, TYPES[connection.msgtype])


def stamp_ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def play(client, bag, awaited=COLOR):
    """Play a bag, waiting for the label of every image of a topic; give scenes by stamp."""
    client.spin_until(lambda: client.label_infos, 'an active node')
    stamps = []
    for topic, message in messages(bag):
        if topic.startswith(awaited):
            wait_for_labels(client, stamps)
            stamps.append(stamp_ns(message))
        client.publish(topic, message)
        client.spin_for(0.01)
    wait_for_labels(client, stamps)
    return answered(client)


def wait_for_labels(client, stamps):
    client.spin_until(lambda: set(stamps) <= set(answered(client)), f'labels at {stamps}')


def answered(client):
    return {stamp_ns(scene): scene for scene in client.scenes}


def counters_after(client, labelled):
    """Wait for the diagnostics that count so many labels: a status on its way may be older."""
    def counts_all(status):
        return {v.key: v.value for v in status.values}.get('frames labelled') == str(labelled)

    status = client.diagnostic(counts_all, f'diagnostics after {labelled} labels')
    return {value.key: value.value for value in status.values}


@pytest.fixture
def run(tmp_path, ros_domain_id):
    """Start the node on the starter bundle, with these arguments."""
    started = []

    def start(*arguments):
        process = PerceptionProcess(tmp_path / 'log', ros_domain_id, *REMAP, *arguments)
        client = Client(ros_domain_id)
        started.extend([client.close, process.stop])
        return process, client

    yield start
    for end in started:
        end()


def test_every_frame_of_a_tour_is_labelled_and_kitchens_are_known(run):
    with (BAGS / 'nyu_tour_truth.csv').open() as table:
        truth = {int(row['stamp_ns']): row['label'] for row in csv.DictReader(table)}
    rooms = sorted(set(truth.values()))
    process, client = run(
        '-p', f'vocabulary:=[{", ".join(rooms)}]', '-p', 'image_transport:=compressed',
        '-p', 'depth_transport:=compressedDepth', '-p', 'pairing_timeout:=1.0',
    )
    scenes = play(client, 'nyu_tour')
    assert set(scenes) == set(truth), 'every colour stamp is labelled, to the nanosecond'
    assert len(client.scenes) == len(truth) == 100, 'and none twice'
    best = {stamp: scenes[stamp].results[0].class_id for stamp in truth}
    kitchens = [best[stamp] for stamp, room in truth.items() if room == 'kitchen']
    assert kitchens.count('kitchen') / len(kitchens) > 3 / len(rooms), kitchens
    right = sum(best[stamp] == room for stamp, room in truth.items())
    assert right / len(truth) > 2 / len(rooms), f'{right} of {len(truth)}'
    values = counters_after(client, 100)
    # Cameras publish best effort: a loaded machine may lose a depth image, never its colour image.
    matched, alone = int(values['pairs matched']), int(values['colour images alone'])
    assert matched + alone == 100 and matched >= 90, values
    assert values['rgb images bad'] == values['depth images bad'] == '0'
    assert 'Traceback' not in process.output


def test_raw_metric_depth_with_holes_is_labelled(run):
    _, client = run('-p', 'modality:=depth', '-p', 'pairing_timeout:=1.0')
    scenes = play(client, 'redkitchen_raw', awaited=DEPTH)
    assert len(scenes) == 7
    values = counters_after(client, 7)
    assert values['depth images bad'] == '0'
