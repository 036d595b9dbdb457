# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The straight line on a real backend: which images count, in which words."""

from edgevl_ros.backends import open_backend
from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.errors import VocabularyError
from edgevl_ros.core.frame import Frame, Modality
from edgevl_ros.core.perception import NothingToLabel, Perception
from edgevl_ros.core.settings import Settings
import numpy as np
import pytest

pytest.importorskip('onnx', reason='onnx builds the small bundle that these tests run')
from support.tiny_bundle import solid  # noqa: E402

RED, DARK = solid(255, 0, 0), solid(1, 1, 1)
NEAR = np.full((48, 64), 1.0, np.float32)
NO_DEPTH = np.full((48, 64), np.nan, np.float32)


@pytest.fixture
def perceive(tiny_bundle):
    """Label one frame under given settings on the small bundle."""
    bundle = Bundle.open(tiny_bundle)
    backend = open_backend('onnxruntime', bundle, threads=1)

    def run(rgb=None, depth=None, **changes):
        perception = Perception(bundle, backend, Settings().changed(changes))
        return perception.perceive(Frame(7, 'camera', rgb, depth))

    yield run
    backend.close()


def test_colours_are_recognised_and_the_frame_is_named(perceive):
    scene = perceive(RED)
    assert scene.hypotheses[0].label == scene.label == 'red'
    assert (scene.stamp_ns, scene.frame_id) == (7, 'camera')
    assert sum(h.probability for h in scene.hypotheses) == pytest.approx(1, abs=1e-5)
    assert set(scene.timings_s) == {'preprocess', 'inference', 'ranking'}


@pytest.mark.parametrize(
    ('images', 'modality', 'embedded'),
    [
        ({'rgb': RED}, 'auto', 'rgb'),
        ({'depth': NEAR}, 'auto', 'depth'),
        ({'rgb': RED, 'depth': NEAR}, 'auto', 'rgb+depth'),
        ({'rgb': DARK, 'depth': NEAR}, 'auto', 'depth'),
        ({'rgb': DARK}, 'auto', 'rgb'),
        ({'rgb': DARK, 'depth': NO_DEPTH}, 'auto', 'rgb'),
        ({'rgb': RED, 'depth': NO_DEPTH}, 'both', 'rgb'),
        ({'rgb': RED, 'depth': NEAR}, 'both', 'rgb+depth'),
        ({'rgb': RED, 'depth': NEAR}, 'rgb', 'rgb'),
        ({'rgb': RED, 'depth': NEAR}, 'depth', 'depth'),
    ],
)
def test_the_modality_decides_what_is_embedded(perceive, images, modality, embedded):
    scene = perceive(**images, modality=modality)
    assert '+'.join(m.value for m in scene.modalities) == embedded


def test_a_modality_of_no_weight_is_not_embedded(tmp_path):
    from support.tiny_bundle import write_tiny_bundle

    bundle = Bundle.open(write_tiny_bundle(tmp_path / 'b', fusion={'rgb': 1.0, 'depth': 0.0}))
    backend = open_backend('onnxruntime', bundle, threads=1)
    scene = Perception(bundle, backend, Settings()).perceive(Frame(0, '', RED, NEAR))
    assert scene.modalities == (Modality.RGB,)
    backend.close()


@pytest.mark.parametrize(
    ('images', 'modality', 'complaint'),
    [
        ({'depth': NO_DEPTH}, 'auto', 'readings in 0.0% of its pixels'),
        ({'rgb': RED, 'depth': NO_DEPTH}, 'depth', 'readings in 0.0%'),
        ({'rgb': RED}, 'depth', 'the frame has rgb only'),
    ],
)
def test_nothing_to_label_is_told_with_the_reason(perceive, images, modality, complaint):
    with pytest.raises(NothingToLabel, match=complaint) as caught:
        perceive(**images, modality=modality)
    assert (Modality.DEPTH in caught.value.unused) == ('readings' in complaint)


def test_no_reading_at_all_is_never_used_even_where_no_share_is_asked_for(perceive):
    with pytest.raises(NothingToLabel):
        perceive(depth=NO_DEPTH, min_depth_coverage=0.0)


def test_the_vocabulary_changes_with_the_next_frame_and_a_refused_one_changes_nothing(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    backend = open_backend('onnxruntime', bundle, threads=1)
    perception = Perception(bundle, backend, Settings())
    before = perception.vocabulary
    with pytest.raises(VocabularyError, match='crimson'):
        perception.prepare(Settings(vocabulary=('red', 'crimson')))
    assert perception.vocabulary is before
    perception.use(perception.prepare(Settings(vocabulary=('dark', 'bright'))))
    assert perception.perceive(Frame(0, '', solid(250, 250, 250))).label == 'bright'
    perception.use(perception.prepare(Settings(vocabulary=('',))))
    assert perception.vocabulary is bundle.vocabulary
    backend.close()


def test_below_the_threshold_the_label_is_unknown_and_the_ranking_stays(perceive):
    scene = perceive(solid(128, 128, 128), min_probability=1.0)
    assert scene.label == 'unknown'
    assert scene.hypotheses[0].label in ('red', 'green', 'blue')


def test_reset_forgets_the_past(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    backend = open_backend('onnxruntime', bundle, threads=1)
    perception = Perception(bundle, backend, Settings(smoothing_time=60.0))
    for stamp in range(3):
        perception.perceive(Frame(stamp * 10**9, '', RED))
    frame = Frame(3 * 10**9, '', solid(0, 0, 255))
    assert perception.perceive(frame).label == 'red'
    perception.reset()
    assert perception.perceive(frame).label == 'blue'
    backend.close()
