# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node as its own process, spoken to over DDS as a camera and a user would."""

from dataclasses import fields

import cv2
from edgevl_ros.core.settings import Change, Settings
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='the node needs ROS 2')
pytest.importorskip('vision_msgs', reason='the node publishes vision_msgs')
pytest.importorskip('onnx', reason='onnx builds the small bundle that the node runs')

from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from support.perception_process import (  # noqa: E402
    ACTIVATE,
    CLEANUP,
    Client,
    compressed,
    CONFIGURE,
    DEACTIVATE,
    depth16,
    header,
    PerceptionProcess,
    rgb8,
)
from support.tiny_bundle import solid, write_tiny_bundle  # noqa: E402

from benchmarks.slow_bundle import write_slow_bundle  # noqa: E402, I100

try:
    from rclpy.event_handler import PublisherEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks

SECOND = 1_000_000_000
OK, WARN, ERROR = b'\x00', b'\x01', b'\x02'
RED, GREEN, BLUE = solid(255, 0, 0), solid(0, 255, 0), solid(0, 0, 255)


@pytest.fixture
def start(tiny_bundle, tmp_path, ros_domain_id):
    """Start nodes, as many as a test likes, and end them with the test."""
    processes = []

    def run(*arguments, bundle=tiny_bundle):
        log = tmp_path / f'node{len(processes)}.log'
        given = [*arguments, '-p', f'bundle:={bundle}'] if bundle else arguments
        processes.append(PerceptionProcess(log, ros_domain_id, *given))
        return processes[-1]

    yield run
    for process in processes:
        process.stop()


@pytest.fixture
def client(ros_domain_id):
    """Join the domain of the node."""
    client = Client(ros_domain_id)
    yield client
    client.close()


def values(status):
    return {value.key: value.value for value in status.values}


def count(client, key):
    """Read one counter from the next diagnostics."""
    status = client.diagnostic(lambda s: key in values(s), f'the counter {key}')
    return int(values(status)[key])


def test_a_colour_image_is_labelled_under_its_own_header(start, client):
    process = start()
    image = rgb8(RED, 5 * SECOND)
    scene = client.label_of('/image', image)
    assert scene.header == image.header
    assert scene.header.frame_id == 'camera_color_optical_frame'
    assert [result.class_id for result in scene.results] == ['red', 'green', 'blue']
    scores = [result.score for result in scene.results]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-5)
    client.spin_until(lambda: client.labels, 'a label')
    assert client.labels[-1] == 'red'
    client.spin_until(lambda: client.label_infos, 'the vocabulary')
    assert client.label_infos[-1] == ['red', 'green', 'blue']
    status, seconds = process.interrupt()
    assert status == 0, process.output
    assert seconds < 1.0
    assert 'Traceback' not in process.output


def test_latched_topics_reach_those_who_come_late(start, client, ros_domain_id):
    start()
    client.label_of('/image', rgb8(BLUE, SECOND))
    late = Client(ros_domain_id)
    try:
        late.spin_until(lambda: late.labels and late.label_infos, 'the latched topics')
        assert late.labels[-1] == 'blue'
    finally:
        late.close()


def test_colour_and_depth_are_paired_and_depth_alone_is_labelled_too(start, client):
    start('-p', 'pairing_tolerance:=0.01', '-p', 'pairing_timeout:=0.2')
    client.wait_until_active()
    near = np.full((48, 64), 2.0, np.float32)
    for step in range(1, 11):
        client.publish('/image', rgb8(RED, step * SECOND))
        client.publish('/depth', depth16(near, step * SECOND + 4_000_000))
        client.spin_for(0.05)
    client.spin_until(lambda: len(client.scenes) >= 8, 'scenes of pairs')
    stamps = {scene.header.stamp.nanosec for scene in client.scenes}
    assert stamps == {0}, 'pairs carry the colour header'
    assert count(client, 'pairs matched') >= 8
    client.label_of('/depth', depth16(near, 60 * SECOND + 7))


def test_the_vocabulary_changes_while_running_and_a_refused_one_changes_nothing(start, client):
    process = start('-p', 'vocabulary:=[red, green, blue]', '-p', 'smoothing_time:=0.0')
    assert client.label_of('/image', rgb8(solid(255, 255, 255), SECOND)).results
    result = client.set_parameter('vocabulary', ['dark', 'bright'])
    assert result.successful, result.reason
    scene = client.label_of('/image', rgb8(solid(255, 255, 255), 2 * SECOND))
    assert [r.class_id for r in scene.results] == ['bright', 'dark']
    client.spin_until(
        lambda: client.label_infos[-1:] == [['dark', 'bright']], 'the new vocabulary'
    )
    result = client.set_parameter('vocabulary', ['kitchen', 'crimsn kitchn'])
    assert not result.successful
    assert "'crimsn kitchn' (nearest: kitchen" in result.reason
    assert client.parameter('vocabulary') == ['dark', 'bright']
    scene = client.label_of('/image', rgb8(solid(0, 0, 0), 3 * SECOND))
    assert scene.results[0].class_id == 'dark'
    assert client.set_parameter('top_k', 1).successful
    assert len(client.label_of('/image', rgb8(RED, 4 * SECOND)).results) == 1
    assert client.set_parameter('min_similarity', 0.99).successful
    client.label_of('/image', rgb8(solid(130, 120, 110), 5 * SECOND))
    client.spin_until(lambda: client.labels[-1] == 'unknown', 'unknown')
    assert process.process.poll() is None


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('top_k', 0, '1'),
        ('top_k', 'five', 'Wrong parameter type'),
        ('max_rate', -1.0, '0.0'),
        ('max_rate', float('nan'), 'nan'),
        ('modality', 'thermal', 'one of auto, rgb, depth, both'),
        ('vocabulary', ['red', 'red'], 'distinct'),
        ('vocabulary', 'red', 'Wrong parameter type'),
        ('bundle', '/nowhere', 'deactivate and clean up'),
        ('autostart', False, 'read-only'),
    ],
)
def test_bad_parameter_values_are_refused_with_a_reason(name, value, reason, shared_node):
    before = shared_node.parameter(name)
    result = shared_node.set_parameter(name, value)
    assert not result.successful
    assert reason in result.reason
    assert shared_node.parameter(name) == before


@pytest.fixture(scope='module')
def shared_node(tiny_bundle, tmp_path_factory):
    """Run one node for tests that leave it as it was."""
    from demo.ros_domain import free_domain_id

    domain_id = free_domain_id()
    client = Client(domain_id)
    log = tmp_path_factory.mktemp('node') / 'log'
    process = PerceptionProcess(log, domain_id, '-p', f'bundle:={tiny_bundle}')
    try:
        client.wait_until_active()
        yield client
    finally:
        process.stop()
        client.close()


def test_every_setting_is_a_described_parameter(shared_node):
    for declaration in fields(Settings):
        descriptor = shared_node.describe(declaration.name)
        rules = declaration.metadata
        assert descriptor.description == rules['description']
        assert descriptor.read_only == (rules['change'] is Change.START)
        ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
        assert [r.from_value for r in ranges] == (
            [] if rules['minimum'] is None else [rules['minimum']]
        )


def truncated_jpeg(stamp_ns):
    _, data = cv2.imencode('.jpg', np.random.default_rng(0).integers(0, 255, (64, 64, 3)))
    return compressed(data.tobytes()[: len(data) // 2], 'jpeg', stamp_ns)


BAD_IMAGES = {
    'data too short': Image(height=48, width=64, encoding='rgb8', step=192),
    'zero by zero': Image(height=0, width=0, encoding='rgb8'),
    'unknown encoding': Image(height=1, width=1, encoding='infrared7', step=1, data=[0]),
    'depth on the colour topic': depth16(np.ones((4, 4), np.float32), 0),
    'step too small': Image(height=2, width=2, encoding='bgr8', step=2, data=[0] * 12),
    'a lie about size': Image(height=2**31, width=2**31, encoding='mono8', step=2**31),
}


@pytest.mark.parametrize('kind', BAD_IMAGES)
def test_a_bad_colour_image_is_counted_told_and_survived(kind, start, client):
    process = start()
    client.label_of('/image', rgb8(RED, SECOND))
    bad = BAD_IMAGES[kind]
    bad.header = header(2 * SECOND)
    client.publish('/image', bad)
    status = client.diagnostic(
        lambda s: values(s).get('rgb images bad') == '1', 'the bad image in /diagnostics'
    )
    assert values(status)['last problem']
    assert process.output.count('image not used') == 1, process.output
    assert client.label_of('/image', rgb8(BLUE, 3 * SECOND)).results[0].class_id == 'blue'


def test_bad_compressed_images_are_counted_told_and_survived(start, client):
    process = start('-p', 'image_transport:=compressed', '-r', 'image:=/camera/color/image_raw')
    topic = '/camera/color/image_raw/compressed'
    _, png = cv2.imencode('.png', RED[..., ::-1])
    assert client.label_of(topic, compressed(png.tobytes(), 'png', SECOND))
    for stamp, message in enumerate(
        [truncated_jpeg(0), compressed(b'', 'jpeg', 0), compressed(b'GIF89a', 'gif', 0)], start=2
    ):
        message.header = header(stamp * SECOND)
        client.publish(topic, message)
    client.diagnostic(lambda s: values(s).get('rgb images bad') == '3', 'three bad images')
    assert process.output.count('image not used') == 1, 'one line, not three'
    scene = client.label_of(topic, compressed(png.tobytes(), 'png', 9 * SECOND))
    assert scene.results[0].class_id == 'red'


def test_depth_without_readings_is_counted_and_the_next_is_labelled(start, client):
    start()
    near = np.full((48, 64), 2.0, np.float32)
    client.label_of('/depth', depth16(near, SECOND))
    client.publish('/depth', depth16(np.full((48, 64), np.nan, np.float32), 2 * SECOND))
    client.diagnostic(
        lambda s: s.level == WARN and values(s)['depth images bad'] == '1', 'a warning'
    )
    client.label_of('/depth', depth16(near, 3 * SECOND))
    status = client.diagnostic(lambda s: s.level == OK, 'diagnostics to be well again')
    assert values(status)['frames with nothing to label'] == '1'


def test_time_that_jumps_back_goes_on_being_labelled(start, client):
    start()
    for stamp in (100, 101, 102, 3, 4, 5):
        client.label_of('/image', rgb8(GREEN, stamp * SECOND))
    assert count(client, 'jumps back in time') == 1


def test_the_lifecycle_is_walked_there_and_back_and_impossible_steps_are_refused(start, client):
    process = start('-p', 'autostart:=false')
    assert client.state() == 'unconfigured'
    assert not client.change_state(ACTIVATE)
    assert not client.change_state(99)
    assert client.change_state(CONFIGURE)
    assert client.state() == 'inactive'
    for stamp in range(1, 4):
        assert client.change_state(ACTIVATE)
        client.label_of('/image', rgb8(RED, stamp * SECOND))
        assert client.change_state(DEACTIVATE)
        before = len(client.scenes)
        client.publish('/image', rgb8(RED, (stamp + 50) * SECOND), wait=False)
        client.spin_for(0.3)
        assert len(client.scenes) == before, 'an inactive node publishes nothing'
        assert client.change_state(CLEANUP)
        assert client.state() == 'unconfigured'
        assert client.change_state(CONFIGURE)
    status, _ = process.interrupt()
    assert status == 0, process.output
    assert 'Traceback' not in process.output


def test_a_bundle_that_is_none_fails_to_configure_and_can_be_mended(start, client, tiny_bundle):
    process = start('-p', 'bundle:=/nowhere', bundle=None)
    client.spin_until(lambda: 'expected a bundle folder' in process.output, 'the reason')
    assert client.state() == 'unconfigured'
    assert client.set_parameter('bundle', str(tiny_bundle)).successful
    assert client.change_state(CONFIGURE)
    assert client.change_state(ACTIVATE)
    assert client.label_of('/image', rgb8(BLUE, SECOND)).results[0].class_id == 'blue'


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        (('-p', 'modality:=thermal'), 'modality: expected one of'),
        (('-p', 'top_k:=0'), 'top_k'),
        (('-p', 'top_k:=five'), 'top_k'),
        (('--params-file', '/nowhere.yaml'), 'cannot start'),
        (('-p', 'vocabulary:=[kitchen'), 'cannot start'),
        (('-r', '__ns:=no_slash'), 'cannot start'),
        (('--bogus-flag',), 'bogus-flag'),
    ],
)
def test_arguments_that_do_not_fit_end_with_a_reason_and_status_1(start, arguments, reason):
    process = start(*arguments)
    assert process.process.wait(30) == 1
    assert reason in process.output
    assert 'Traceback' not in process.output


def test_namespace_node_name_and_remapping_are_kept(start, ros_domain_id):
    start('-r', '__ns:=/robot1', '-r', '__node:=eyes', '-r', 'image:=front/image_raw')
    client = Client(ros_domain_id, '/robot1/eyes')
    try:
        client.label_of('/robot1/front/image_raw', rgb8(RED, SECOND))
        client.diagnostic(lambda s: s.name.startswith('eyes'), 'diagnostics under its name')
    finally:
        client.close()


def test_the_overlay_is_drawn_only_while_someone_looks(start, client):
    start()
    client.label_of('/image', rgb8(RED, SECOND))
    assert client.node.count_subscribers('/edgevl_perception/overlay') == 0
    client.listen_to_overlay()
    stamps = iter(range(2, 100))

    def overlay_came():
        client.label_of('/image', rgb8(RED, next(stamps) * SECOND))
        return client.overlays

    client.spin_until(overlay_came, 'an overlay')
    picture = client.overlays[-1]
    assert picture.encoding == 'rgb8'
    assert len(picture.data) == picture.step * picture.height
    assert len(set(bytes(picture.data))) > 2, 'something is drawn on the plain red'


def test_silence_and_the_wrong_message_type_are_explained(start, client):
    start('-r', 'image:=/camera')
    status = client.diagnostic(lambda s: s.level == WARN, 'a warning of silence')
    assert 'nobody publishes it' in status.message
    client.publish('/camera', truncated_jpeg(SECOND), wait=False)
    client.diagnostic(
        lambda s: 'expected sensor_msgs/msg/Image, found sensor_msgs/msg/CompressedImage'
        in s.message,
        'the wrong type to be named',
    )


def test_the_rate_limit_holds_and_keeps_to_the_newest(start, client):
    start('-p', 'max_rate:=5.0')
    client.label_of('/image', rgb8(RED, SECOND))
    before = len(client.scenes)
    for step in range(60):
        client.publish('/image', rgb8(RED, 2 * SECOND + step * SECOND // 30))
        client.spin_for(1 / 30)
    client.spin_for(0.3)
    assert 4 <= len(client.scenes) - before <= 14
    assert client.scenes[-1].header.stamp.sec == 3


def test_simulated_time_that_stands_still_does_not_stop_the_labels(start, client):
    start('-p', 'use_sim_time:=true')
    near = np.full((48, 64), 2.0, np.float32)
    client.label_of('/depth', depth16(near, SECOND))
    client.label_of('/image', rgb8(RED, 2 * SECOND))
    client.diagnostic(lambda s: int(values(s)['frames labelled']) >= 2, 'diagnostics')


def test_an_incompatible_qos_is_explained_and_the_override_is_a_parameter(start, client):
    best_effort = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    # rclpy's own callback for the mismatch calls something that Kilted deprecates.
    quiet = PublisherEventCallbacks(use_default_callbacks=False)
    camera = client.node.create_publisher(Image, '/image', best_effort, event_callbacks=quiet)
    start('-p', 'qos_overrides./image.subscription.reliability:=reliable')
    status = client.diagnostic(lambda s: 'incompatible QoS' in s.message, 'the mismatch')
    assert '/image: incompatible QoS (RELIABILITY)' in status.message
    assert '/depth: incompatible' not in status.message
    parameter = 'qos_overrides./depth.subscription.reliability'
    assert client.parameter(parameter) == 'best_effort', 'only what was overridden changes'
    assert client.parameter('qos_overrides./image.subscription.reliability') == 'reliable'
    camera.publish(rgb8(RED, SECOND))
    client.spin_for(0.5)
    assert not client.scenes
    client.label_of('/image', rgb8(RED, 2 * SECOND))
    client.diagnostic(lambda s: 'incompatible' not in s.message, 'the complaint to be over')


def test_a_failed_activation_says_why_and_leaves_nothing_behind(start, client):
    process = start('-p', 'qos_overrides./depth.subscription.reliability:=bestish')
    status = client.diagnostic(lambda s: s.level == ERROR, 'the failure in /diagnostics')
    assert 'cannot activate' in status.message
    assert status.message in process.output
    assert client.state() == 'inactive'
    assert not client.change_state(ACTIVATE)
    client.spin_until(lambda: client.node.count_subscribers('/image') == 0, 'no subscription')


def test_a_home_of_nobody_fails_to_configure_with_a_reason(start, client):
    process = start('-p', 'bundle:=~nobodyatall/bundle', bundle=None)
    client.spin_until(lambda: 'cannot configure' in process.output, 'the reason')
    assert client.state() == 'unconfigured'


def test_stamps_that_never_change_are_explained(start, client):
    start()
    client.label_of('/image', rgb8(RED, 0))
    client.publish('/image', rgb8(RED, 0))
    client.diagnostic(lambda s: 'the driver must stamp each anew' in s.message, 'a warning')


def test_depth_without_weight_is_not_labelled_between_colour_frames(start, client, tmp_path):
    start(bundle=write_tiny_bundle(tmp_path / 'b', fusion={'rgb': 1.0, 'depth': 0.0}))
    near = np.full((48, 64), 2.0, np.float32)
    client.label_of('/image', rgb8(RED, SECOND))
    for step in range(20):
        stamp = 2 * SECOND + step * SECOND // 15
        client.publish('/image', rgb8(RED, stamp))
        client.publish('/depth', depth16(near, stamp + 30_000_000))
        client.spin_for(0.03)
    client.diagnostic(lambda s: int(values(s)['lone images not needed']) >= 10, 'depth left out')
    stamps = {scene.header.stamp.sec * SECOND + scene.header.stamp.nanosec
              for scene in client.scenes}
    assert stamps <= {2 * SECOND + step * SECOND // 15 for step in range(20)} | {SECOND}
    client.spin_for(1.2)
    client.label_of('/depth', depth16(near, 9 * SECOND))


def test_ctrl_c_does_not_wait_for_slow_inference(start, client, tiny_bundle, tmp_path):
    # Seconds on any machine: it must outlast what the node waits for it.
    slow = write_slow_bundle(tiny_bundle, tmp_path / 'slow', products=800)
    process = start(bundle=slow)
    client.spin_until(lambda: client.label_infos, 'an active node')
    for step in range(5):  # sensor QoS may lose an image
        client.publish('/image', rgb8(RED, SECOND + step))
        client.spin_for(0.2)
    assert not client.scenes, 'inference is still under way'
    status, seconds = process.interrupt()
    assert status == 0, process.output
    assert seconds < 1.5
    assert 'its thread is left behind' in process.output
