# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What ``edgevl adapt`` leaves in its work folder before stage 2, made in seconds."""

from __future__ import annotations

from pathlib import Path

from support.adapting import make_images, make_superset

PAIRS = 30
RECIPE = """
distill:
  student: timm:test_vit
  weights: none
  image_size: 32
  epochs: 2
  batch_size: 4
  learning_rate: 1.0e-3
  final_learning_rate: 1.0e-4
contrast:
  epochs: 1
  batch_size: 8
  calibration_pairs: 8
  learning_rate: 1.0e-4
evaluate:
  threads: 1
"""


def make_work(folder: Path) -> Path:
    """Extract, teach, curate and distil, with the recipe beside it; give the folder."""
    from edgevl_training import curate, distill, extract, teach

    folder.mkdir(parents=True)
    images = make_images(folder.with_name(f'{folder.name}_images'), PAIRS)
    superset = make_superset(folder.with_name(f'{folder.name}_superset.txt'))
    (folder / 'recipe.yaml').write_text(RECIPE)
    pairs, taught, curated = (str(folder / name) for name in ('pairs', 'taught', 'curated'))
    assert extract.run(['--images', str(images), '--out', pairs]) == 0
    assert teach.run([
        '--pairs', pairs, '--out', taught, '--teacher', 'conse:tf_efficientnet_lite0',
    ]) == 0
    assert curate.run([
        '--pairs', pairs, '--taught', taught, '--out', curated, '--superset', str(superset),
        '--keep-fraction', '1', '--near-duplicates', '-1', '--split', '0.5', '0.2', '0.3',
    ]) == 0
    assert distill.run([
        '--config', str(folder / 'recipe.yaml'), '--data', curated, '--out',
        str(folder / 'stage1'), '--device', 'cpu',
    ]) == 0
    return folder
