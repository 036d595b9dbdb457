# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the counts amount to, and that they are kept right by several threads."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from edgevl_ros.core.frame import Modality
from edgevl_ros.core.pairing import Pairing
import pytest

pytest.importorskip('rclpy', reason='diagnostics are ROS messages')

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402, I100
from edgevl_ros.nodes.diagnostics import Observation, report, silence  # noqa: E402
from edgevl_ros.nodes.statistics import Snapshot, Statistics  # noqa: E402

COUNTS = Pairing(tolerance_ns=1, timeout_ns=1).counts


def observe(statistics, **pairing):
    return Observation(statistics.snapshot(), replace(COUNTS, **pairing), replaced=3)


def judge(statistics, before=None, complaints=(), **pairing):
    return report(observe(statistics, **pairing), before, complaints)


def test_a_node_that_labels_is_well():
    statistics = Statistics()
    assert judge(statistics).message == 'waiting for images'
    statistics.received(Modality.RGB)
    statistics.labelled('kitchen', latency_s=0.020, processing_s=0.015, inference_s=0.012)
    judged = judge(statistics)
    assert (judged.level, judged.message) == (DiagnosticStatus.OK, 'labelling: kitchen')
    assert judged.values['rgb images received'] == '1'
    assert judged.values['frames dropped for newer ones'] == '3'
    assert judged.values['stamp to label p50 / p99 (ms)'] == '20.0 / 20.0'
    assert judged.values['stamp to label without inference p50 / p99 (ms)'] == '8.0 / 8.0'


def test_stamps_of_another_clock_do_not_spoil_the_latencies():
    statistics = Statistics()
    statistics.labelled('kitchen', latency_s=None, processing_s=0.015, inference_s=0.012)
    judged = judge(statistics)
    assert judged.values['stamp to label p50 / p99 (ms)'] == 'none yet'
    assert judged.values['inference p50 / p99 (ms)'] == '12.0 / 12.0'


def test_a_bad_image_warns_once_and_is_over_when_no_more_come():
    statistics = Statistics()
    statistics.bad(Modality.DEPTH, 'no reading')
    judged = judge(statistics)
    assert (judged.level, judged.message) == (DiagnosticStatus.WARN, 'bad images: no reading')
    assert judge(statistics, before=observe(statistics)).level == DiagnosticStatus.OK


def test_failing_inference_is_an_error_before_all_else():
    statistics = Statistics()
    statistics.bad(Modality.RGB, 'truncated')
    statistics.failed('BackendError: out of memory')
    judged = judge(statistics, complaints=['no image on /image'])
    assert judged.level == DiagnosticStatus.ERROR
    assert 'out of memory' in judged.message


@pytest.mark.parametrize(
    ('trouble', 'remedy'), [('duplicate', 'stamp each anew'), ('late', 'raise pairing_timeout')]
)
def test_images_that_pairing_drops_are_explained(trouble, remedy):
    statistics = Statistics()
    judged = judge(statistics, before=observe(statistics), **{trouble: 4})
    assert judged.level == DiagnosticStatus.WARN
    assert remedy in judged.message
    same = judge(statistics, before=observe(statistics, **{trouble: 4}), **{trouble: 4})
    assert same.level == DiagnosticStatus.OK


def test_complaints_are_told_together():
    judged = judge(Statistics(), complaints=['no image on /image', 'no image on /depth'])
    assert judged.message == 'no image on /image; no image on /depth'
    status = judged.status('edgevl_perception: perception', 'onnxruntime')
    assert {value.key for value in status.values} == set(judged.values)


def test_silence_is_counted_from_activation():
    assert silence(Snapshot(), active_since_s=0.0)
    statistics = Statistics()
    statistics.received(Modality.DEPTH)
    assert not silence(statistics.snapshot(), active_since_s=0.0)


def test_no_count_is_lost_between_threads():
    statistics = Statistics()

    def work(_):
        for _ in range(500):
            statistics.received(Modality.RGB)
            statistics.bad(Modality.RGB, 'bad')
            statistics.snapshot()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert statistics.snapshot().received[Modality.RGB] == 2000
    assert statistics.snapshot().bad[Modality.RGB] == 2000
