# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The recorder as its own process, hearing a camera over DDS; bags are read back by rosbags."""

from collections import defaultdict
import json
from pathlib import Path
import signal
import time

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='the recorder needs ROS 2')
pytest.importorskip('vision_msgs', reason='the recorder listens to vision_msgs')
pytest.importorskip('mcap', reason='bags are MCAP files')
pytest.importorskip('rosbags', reason='rosbags reads bags back')

from mcap.records import Message  # noqa: E402, I100
from mcap.stream_reader import StreamReader  # noqa: E402
from rclpy.serialization import deserialize_message  # noqa: E402
from rosbags.highlevel import AnyReader  # noqa: E402
from rosbags.interfaces import QosDurability, QosReliability  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from support.perception_process import compressed, depth16, header, rgb8  # noqa: E402
from support.recorder_process import (  # noqa: E402
    BEST_EFFORT,
    Camera,
    LATCHED,
    RecorderProcess,
    RELIABLE,
)
from vision_msgs.msg import Classification, ObjectHypothesis  # noqa: E402

RGB, DEPTH = '/camera/color/image_raw', '/camera/aligned_depth_to_color/image_raw'
INFO = '/camera/color/camera_info'
SCENE = '/edgevl_perception/scene'
SECOND = 1_000_000_000
SHARED_MEMORY = ('/dev/shm/fastrtps_', '/dev/shm/sem.fastrtps_')  # noqa: S108
TYPES = {
    'sensor_msgs/msg/CameraInfo': CameraInfo, 'sensor_msgs/msg/Image': Image,
    'sensor_msgs/msg/CompressedImage': CompressedImage, 'std_msgs/msg/String': String,
}
VERB = ('edgevl_training.cli', 'record', '--min-free-gb', '0')
NODE = ('edgevl_training.record', '--ros-args', '-p', 'min_free_gb:=0.0')


# Strikes in the middle of the import of ROS.
STRUCK = """
import os, signal, sys
from edgevl_training.cli import main

class Strike:
    def find_spec(self, name, *_):
        if name == 'rclpy.signals':
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Strike())
sys.exit(main())
"""


@pytest.fixture
def start(tmp_path, ros_domain_id):
    """Start recorders, as many as a test likes, and end them with the test."""
    processes = []

    def run(*command, cwd=None):
        log = tmp_path / f'recorder{len(processes)}.log'
        processes.append(RecorderProcess(log, ros_domain_id, *command, cwd=cwd))
        return processes[-1]

    yield run
    for process in processes:
        process.stop()


@pytest.fixture
def orphans():
    """Take note of the shared memory of processes to be killed; remove it when nobody has it."""
    files = set()
    yield files
    for file in files - shared_memory_of('*'):
        file.unlink(missing_ok=True)


@pytest.fixture
def camera(ros_domain_id, orphans):  # noqa: ARG001 - it leaves before they are removed
    """Join the domain of the recorder."""
    camera = Camera(ros_domain_id)
    yield camera
    camera.close()


@pytest.fixture
def out(tmp_path):
    """Name a folder for bags."""
    return tmp_path / 'bags'


def bags(out):
    return sorted(path for path in out.iterdir() if path.is_dir())


def recorded(bag):
    """Read the messages of a bag by topic, in order; ROS leaves random bytes in their gaps."""
    messages = defaultdict(list)
    with AnyReader([bag]) as reader:
        for connection, _, raw in reader.messages():
            reader.deserialize(raw, connection.msgtype)
            messages[connection.topic].append(
                deserialize_message(bytes(raw), TYPES[connection.msgtype])
            )
    return dict(messages)


def all_sent(messages, camera, topic):
    """Tell whether everything recorded is what was sent."""
    return all(message in camera.sent[topic] for message in messages)


def notes(bag):
    return json.loads((bag / 'recording.json').read_text())


def color(stamp_ns):
    pixels = np.random.default_rng(stamp_ns).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    return rgb8(pixels, stamp_ns)


def depth(stamp_ns):
    return depth16(np.full((24, 32), 1.5, np.float32), stamp_ns)


def info(stamp_ns):
    return CameraInfo(header=header(stamp_ns), width=32, height=24)


def scene(stamp_ns, label, score):
    results = [ObjectHypothesis(class_id=label, score=score), ObjectHypothesis(class_id='z')]
    return Classification(header=header(stamp_ns), results=results)


def test_a_raw_camera_is_recorded_byte_for_byte_with_its_true_types_and_qos(start, camera, out):
    camera.offer('/description', String, LATCHED)
    camera.publish('/description', String(data='sent before the recorder came'))
    for topic, kind, qos in (
        (RGB, Image, RELIABLE), (DEPTH, Image, BEST_EFFORT), (INFO, CameraInfo, RELIABLE)
    ):
        camera.offer(topic, kind, qos)
    process = start(*VERB, '--out', str(out), '--extra-topics', '/description')
    camera.wait_until_heard(RGB, DEPTH, INFO, '/description')
    camera.spin_for(0.3)
    # The last stamp is one of the past: stamps are recorded as they are.
    for stamp_ns in [*range(SECOND, 20 * SECOND, SECOND), 3 * SECOND]:
        camera.publish(RGB, color(stamp_ns))
        camera.publish(DEPTH, depth(stamp_ns + 4_000_000))
        camera.publish(INFO, info(stamp_ns))
        camera.spin_for(0.03)
    camera.spin_for(0.3)
    assert process.end() == 0, process.output
    assert 'Traceback' not in process.output
    (bag,) = bags(out)
    messages = recorded(bag)
    for topic in (RGB, INFO, '/description'):
        assert messages[topic] == camera.sent[topic]
    # Best effort may lose some under load; what is there is what was sent.
    assert len(messages[DEPTH]) >= 18
    assert all_sent(messages[DEPTH], camera, DEPTH)
    with AnyReader([bag]) as reader:
        offered = {c.topic: (c.msgtype, c.ext.offered_qos_profiles[0]) for c in reader.connections}
    assert offered[RGB][0] == 'sensor_msgs/msg/Image'
    assert offered[RGB][1].reliability is QosReliability.RELIABLE
    assert offered[DEPTH][1].reliability is QosReliability.BEST_EFFORT
    assert offered['/description'][1].durability is QosDurability.TRANSIENT_LOCAL
    assert offered['/description'][0] == 'std_msgs/msg/String'
    counts = notes(bag)['topics'][RGB]
    assert counts['received'] == counts['written'] == 20
    assert f'{RGB}' in process.output.partition('written')[2], 'the final table'


def test_the_node_finds_compressed_topics_reports_and_ends_with_sigterm(start, camera, out):
    jpeg = compressed(b'\xff\xd8 any bytes \xff\xd9', 'jpeg', SECOND)
    png = compressed(bytes(range(200)), '16UC1; compressedDepth png', SECOND)
    process = start(
        *NODE, '-p', f'out:={out}', '-p', "extra_topics:=['/nowhere']", '-p', 'prefix:=mine'
    )
    topics = {f'{RGB}/compressed': jpeg, f'{DEPTH}/compressedDepth': png}
    for topic in topics:
        camera.offer(topic, CompressedImage, BEST_EFFORT)
    camera.wait_until_heard(*topics)
    camera.spin_for(0.3)
    for _ in range(10):
        for topic, message in topics.items():
            camera.publish(topic, message)
        camera.spin_for(0.02)
    status = camera.status(
        lambda s: any(v.key == f'{RGB}/compressed written' and v.value != '0' for v in s.values),
        'written messages in the diagnostics',
    )
    assert status.name == 'edgevl_record: recording'
    camera.spin_until(lambda: '/nowhere: nobody publishes' in process.output, 'the complaint')
    camera.status(lambda s: '/nowhere' in s.message and s.level == b'\x01', 'a warning')
    assert process.end(signal.SIGTERM) == 0, process.output
    assert 'Traceback' not in process.output
    (bag,) = bags(out)
    assert bag.name.startswith('mine_')
    messages = recorded(bag)
    for topic in topics:
        assert len(messages[topic]) >= 8
        assert all_sent(messages[topic], camera, topic)


def test_after_kill_9_all_but_the_last_second_is_readable_and_the_next_start_completes_it(
    start, camera, out, orphans
):
    process = start(*VERB, '--out', str(out))
    camera.offer(RGB, Image, RELIABLE)
    camera.wait_until_heard(RGB)
    camera.spin_for(0.3)
    started_s = time.monotonic()
    while time.monotonic() - started_s < 2.5:
        camera.publish(RGB, color(len(camera.sent[RGB]) * SECOND))
        camera.spin_for(0.03)
    orphans |= shared_memory_of(process.process.pid)
    process.end(signal.SIGKILL)
    (bag,) = bags(out)
    assert not notes(bag)['finished']
    (path,) = bag.glob('*.mcap')
    messages = streamed(path)
    assert messages == camera.sent[RGB][: len(messages)]
    # A chunk is closed when it is a second old; some frames more are on their way.
    assert len(messages) >= len(camera.sent[RGB]) - 45
    again = start(*VERB, '--out', str(out))
    camera.spin_until(lambda: f'{RGB}: ' in again.output, 'the new recorder to subscribe')
    camera.spin_until(lambda: notes(bag)['finished'], 'the bag to be completed')

    # The killed one counts as a subscriber for a while, and the new one is found within
    # seconds only (DDS announces itself every three), so frames go out until one is written.
    def a_second_bag():
        camera.publish(RGB, color(0))
        camera.spin_for(0.1)
        return len(bags(out)) == 2

    camera.spin_until(a_second_bag, 'a bag of its own')
    assert again.end() == 0, again.output
    assert f'{bag}: completed; {len(messages)} messages' in again.output
    assert recorded(bag) == {RGB: messages}
    assert recorded(bags(out)[1])[RGB][-1] == camera.sent[RGB][-1], 'and a bag of its own'


def shared_memory_of(pid):
    """List what a process has of Fast DDS in shared memory; '*' for all processes."""
    files = set()
    for process in Path('/proc').glob(str(pid) if pid != '*' else '[0-9]*'):
        try:
            maps = (process / 'maps').read_text().splitlines()
            files |= {line.split()[-1] for line in maps if ' /dev/shm/' in line}
            files |= {str(held.readlink()) for held in (process / 'fd').iterdir()}
        except OSError:
            continue  # it has ended, or is another user's
    return {Path(file) for file in files if file.startswith(SHARED_MEMORY)}


def streamed(path):
    """Read a file without a footer as far as it goes."""
    found = []
    with path.open('rb') as file:
        try:
            for record in StreamReader(file, validate_crcs=True).records:
                if isinstance(record, Message):
                    found.append(deserialize_message(record.data, Image))
        except Exception as error:  # noqa: B902 - the file breaks off
            assert type(error).__name__ == 'EndOfFile', error
    return found


def test_change_keeps_what_the_perception_node_names(start, camera, out):
    process = start(
        *VERB, '--out', str(out), '--mode', 'change', '--stable-frames', '2', '--context', '0',
        '--min-interval', '0', '--buffer-seconds', '20',
    )
    for topic, kind in ((RGB, Image), (DEPTH, Image), (SCENE, Classification)):
        camera.offer(topic, kind, RELIABLE)
    camera.wait_until_heard(RGB, DEPTH, SCENE)
    camera.spin_for(0.3)
    for second in range(1, 21):
        camera.publish(RGB, color(second * SECOND))
        camera.publish(DEPTH, depth(second * SECOND + 4_000_000))
        camera.spin_for(0.01)
    camera.spin_for(0.2)
    answers = {4: ('hall', 0.9), 5: ('hall', 0.9), 6: ('hall', 0.9), 9: ('hall', 0.05),
               10: ('lab', 0.9), 11: ('lab', 0.9), 12: ('lab', 0.9)}
    for second, (label, score) in answers.items():
        camera.publish(SCENE, scene(second * SECOND, label, score))
        camera.spin_for(0.02)
    camera.spin_for(0.5)
    assert process.end() == 0, process.output
    (bag,) = bags(out)
    # Stable since 5, unsure at 9, another scene stable since 11.
    expected = [4, 8, 10]
    messages = recorded(bag)
    assert messages[RGB] == [camera.sent[RGB][k] for k in expected]
    assert messages[DEPTH] == [camera.sent[DEPTH][k] for k in expected]
    assert notes(bag)['triggers'] == {'scene changed': 2, 'perception unsure': 1}
    assert notes(bag)['topics'][RGB]['received'] == 20


def test_a_bag_is_split_and_a_publisher_that_offers_less_is_heard_too(start, camera, out):
    process = start(
        *VERB, '--out', str(out), '--split-mb', '0.02', '--extra-topics', '/description'
    )
    camera.offer(RGB, Image, RELIABLE)
    camera.offer('/description', String, LATCHED)
    camera.publish('/description', String(data='in every file'))
    camera.wait_until_heard(RGB, '/description')
    camera.spin_for(0.3)
    for second in range(1, 16):
        camera.publish(RGB, color(second * SECOND))
        camera.spin_for(0.02)
    camera.offer(RGB, Image, BEST_EFFORT)
    camera.spin_until(lambda: 'offers less' in process.output, 'the recorder to ask for less')
    camera.wait_until_heard(RGB)
    camera.spin_for(0.5)
    assert 'No messages will be' not in process.output
    for second in range(16, 31):
        camera.publish(RGB, color(second * SECOND))
        camera.spin_for(0.02)
    camera.spin_for(0.3)
    assert process.end() == 0, process.output
    (bag,) = bags(out)
    files = sorted(bag.glob('*.mcap'))
    assert len(files) >= 3
    for file in files:
        with AnyReader([file]) as reader:
            topics = {connection.topic for connection, *_ in reader.messages()}
        assert topics == {RGB, '/description'}
    messages = recorded(bag)[RGB]
    assert len(messages) >= 28
    assert all_sent(messages, camera, RGB)


def test_a_remapped_camera_is_found_whatever_else_has_its_name_and_ctrl_c_may_be_impatient(
    start, camera, out
):
    process = start(
        *NODE, '-r', '__ns:=/robot1', '-r', f'color/image_raw:={RGB}', '-p', f'out:={out}',
        '-p', 'rgb_topic:=color/image_raw', '-p', 'depth_topic:=none', '-p', 'max_gb:=1',
        '-p', 'prefix:=2026', '-p', 'extra_topics:=/description', '-p', 'interval:=1',
    )
    camera.offer(RGB, String, RELIABLE)
    camera.offer(f'{RGB}/compressed', CompressedImage, RELIABLE)
    camera.offer(INFO, CameraInfo, RELIABLE)
    camera.wait_until_heard(f'{RGB}/compressed', INFO)
    camera.spin_for(0.3)
    camera.publish(f'{RGB}/compressed', compressed(b'\xff\xd8 any bytes', 'jpeg', SECOND))
    camera.publish(INFO, info(SECOND))
    camera.spin_for(0.3)
    process.process.send_signal(signal.SIGINT)
    while process.process.poll() is None:
        process.process.send_signal(signal.SIGINT)
        time.sleep(0.001)
    assert process.process.returncode == 0, process.output
    (bag,) = bags(out)
    assert bag.name.startswith('2026_')
    assert recorded(bag) == {
        topic: camera.sent[topic] for topic in (f'{RGB}/compressed', INFO)
    }


def test_a_topic_of_the_wrong_type_is_not_taken_and_the_last_words_say_so(start, camera, out):
    process = start(*VERB, '--out', str(out), '--rgb-topic', '/chatter', '--depth-topic', 'none')
    camera.offer('/chatter', String, RELIABLE)
    camera.spin_until(lambda: 'recording (continuous)' in process.output, 'the start')
    camera.spin_for(1.0)
    assert process.end() == 1
    told = process.output.partition('nothing recorded')[2]
    assert '/chatter: expected sensor_msgs/msg/Image' in told
    assert 'found std_msgs/msg/String' in told
    assert bags(out) == []


@pytest.mark.parametrize(
    ('given', 'reasons'),
    [
        ((), ['out: is required; give it as -p out:=']),
        (('-p', 'out:=/tmp/x', '-p', 'mode:=never'), ['mode: ', "found 'never'"]),
        (('-r', '__node:=no name'), ['edgevl_record: cannot start: ROS refuses the node: ']),
    ],
)
def test_the_node_says_in_one_sentence_why_it_cannot_start(start, given, reasons):
    process = start(*NODE, *given)
    assert process.process.wait(30) == 1
    for reason in reasons:
        assert reason in process.output
    assert 'Traceback' not in process.output


def test_the_verb_refuses_parameters_that_it_would_not_heed(start, out):
    process = start(*VERB, '--out', str(out), '--ros-args', '-p', 'mode:=change')
    assert process.process.wait(30) == 2
    assert 'give them as --mode' in process.output
    assert 'Traceback' not in process.output


def test_ctrl_c_while_ros_is_loaded_ends_in_order(start, tmp_path, out):
    (tmp_path / 'struck.py').write_text(STRUCK)
    process = start('struck', 'record', '--out', str(out), cwd=tmp_path)
    assert process.process.wait(30) == 1
    assert 'Traceback' not in process.output
    assert 'nothing recorded' in process.output
