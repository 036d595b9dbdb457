# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The verb ``teach``: embed the colour picture of every pair with a teacher, once.

One process works through the shards, or several under torchrun, each through its own; what comes
out is the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
import csv
from dataclasses import asdict, dataclass
from datetime import timedelta
import io
import os
from pathlib import Path
import sys
import time
from typing import Any, Literal

from edgevl_ros.core.files import sha256_of
from edgevl_training.dataset import check_shards, Shard, shards_of
from edgevl_training.memory import keep_freed_memory
from edgevl_training.output import MANIFEST, OutputFolder, read_manifest, SKIPPED, write_text
from edgevl_training.progress import Progress, progress
from edgevl_training.recipe import parse, Recipe
from edgevl_training.teachers.teacher import (
    choose_teacher,
    DEFAULT_TEACHER,
    FAMILIES,
    TeacherChoice,
)
from edgevl_training.teaching.embedder import BATCH_SIZES, Embedder
from edgevl_training.teaching.pictures import Batch, read_pictures
from edgevl_training.teaching.prefetch import prefetched
from edgevl_training.teaching.ranks import joined_ranks, Ranks
from edgevl_training.teaching.taught import find_taught, ShardInMaking, TaughtShard
from edgevl_training.teaching.views import are_whole, mean_of_views, ONLY_WHOLE, ViewName
from pydantic import Field, field_validator

# Batches that are ready before the teacher asks for them.
_AHEAD = 3
_MOST_THREADS = 8
_MOST_REASONS = 10


class TeachRecipe(Recipe):
    """
    Embed the colour picture of every pair with a teacher, once.

    Run it under torchrun to use several GPUs or machines:
    torchrun --nproc-per-node 4 -m edgevl_training.cli teach ...
    """

    pairs: Path = Field(description='output folder of edgevl extract')
    out: Path = Field(description='folder to write to')
    teacher: str = Field(DEFAULT_TEACHER, description='; '.join(FAMILIES.values()))
    views: tuple[ViewName, ...] = Field(
        ONLY_WHOLE, min_length=1,
        description='parts of a picture that the teacher looks at; the mean of its embeddings of '
        'them counts. Each takes its time again; all but whole are 3/4 as wide and high',
    )
    device: Literal['auto', 'cpu', 'cuda'] = Field('auto', description='where the teacher runs')
    precision: Literal['auto', 'fp32', 'fp16', 'bf16'] = Field(
        'auto', description='of the teacher; auto is fp16 on CUDA where it can, else fp32'
    )
    batch_size: int | None = Field(
        None, ge=1, le=65536,
        description='pictures, or views of some, at once (default: 16 on a CPU, 256 on a GPU, '
        'halved until they fit)',
    )
    threads: int | None = Field(
        None, ge=1, le=256,
        description='threads that decode pictures (default: 1 beside a teacher on the CPU, '
        'else one for each core, 8 at most)',
    )

    @field_validator('views')
    @classmethod
    def _are_distinct(cls, views: tuple[ViewName, ...]) -> tuple[ViewName, ...]:
        if len(set(views)) < len(views):
            raise ValueError(f'expected each view once, found {" ".join(views)}')
        return views


@dataclass
class Work:
    """What one process has done: shards, of which an earlier run finished some, and its pace."""

    teacher: dict[str, Any]
    taught: list[TaughtShard]
    kept_shards: int
    images: int
    seconds: float
    busy_seconds: float


def run(arguments: list[str]) -> int:
    """Teach; 1 when no picture at all could be embedded."""
    from edgevl_training.cli import VERBS

    recipe = parse(TeachRecipe, 'teach', arguments, list(VERBS))
    shards = shards_of(recipe.pairs, read_manifest(recipe.pairs, 'extract'))
    choice = choose_teacher(recipe.teacher, recipe.device, recipe.precision)
    with joined_ranks() as ranks:
        _take_gpu(choice, ranks)
        if not ranks.first:
            if not ranks.tell(None):
                ranks.gather(_work(recipe, shards, choice, ranks))
            return 0
        _lead(recipe, shards, choice, ranks)
    return _summarise(recipe.out)


def _lead(
    recipe: TeachRecipe, shards: list[Shard], choice: TeacherChoice, ranks: Ranks
) -> None:
    """Hold the output folder for all processes, do a share of the work, and close the folder."""
    purpose = {
        'teacher': {'id': choice.id, 'precision': choice.precision, **_views(recipe)},
        'pairs': {'manifest_sha256': sha256_of(recipe.pairs / MANIFEST)},
    }
    with OutputFolder(recipe.out, 'teach', purpose) as output:
        if ranks.tell(output.finished):
            check_shards(recipe.out, read_manifest(recipe.out, 'teach'))
            print(f'{recipe.out}: finished earlier, nothing to do')
            return
        work = ranks.gather(_work(recipe, shards, choice, ranks))
        skipped = [pair for one in work for shard in one.taught for pair in shard.skipped]
        _write_skipped(recipe.out / SKIPPED, sorted(skipped))
        result = _result(recipe, choice, work, [shard.name for shard in shards])
        output.finish({**result, 'pairs': {
            'path': os.path.relpath(recipe.pairs, recipe.out), **purpose['pairs'],
        }})


def _take_gpu(choice: TeacherChoice, ranks: Ranks) -> None:
    """Give each process of this machine a GPU of its own, where there are enough."""
    if choice.device == 'cuda':
        import torch

        torch.cuda.set_device(ranks.local_rank % torch.cuda.device_count())


def _work(
    recipe: TeachRecipe, shards: list[Shard], choice: TeacherChoice, ranks: Ranks
) -> Work:
    """Embed this process's share of the shards, but for those that an earlier run finished."""
    if ranks.first:
        print(f'loading {choice.id} ({choice.precision}, {choice.device})', flush=True)
    keep_freed_memory()
    teacher = choice.load()
    taught, missing = [], []
    for shard in ranks.share(shards):
        found = find_taught(recipe.out / shard.name, teacher.dim, shard.rows)
        if found:
            taught.append(found)
        else:
            missing.append(shard)
    kept_shards = len(taught)
    embedder = Embedder(teacher, recipe.batch_size or BATCH_SIZES[choice.device])
    threads = recipe.threads or _default_threads(choice.device, ranks)
    total = sum(shard.rows for shard in missing)
    started_s = time.perf_counter()
    with progress('teaching', total, 'pictures') if ranks.first else nullcontext() as bar:
        pictures = read_pictures(
            recipe.pairs, missing, teacher, embedder.batch_size, threads, recipe.views
        )
        with prefetched(pictures, _AHEAD) as batches:
            taught += _embed(recipe, batches, teacher.dim, embedder, bar)
    seconds = time.perf_counter() - started_s
    facts = {
        'id': teacher.id, 'dim': teacher.dim, 'logit_scale': teacher.logit_scale, **_views(recipe),
    }
    return Work(facts, taught, kept_shards, embedder.images, seconds, embedder.busy_s)


def _views(recipe: TeachRecipe) -> dict[str, Any]:
    """Name the views; none where the teacher sees whole pictures, as in folders of old."""
    return {'views': None if are_whole(recipe.views) else list(recipe.views)}


def _embed(
    recipe: TeachRecipe, batches: Iterator[Batch], dim: int, embedder: Embedder,
    bar: Progress | None,
) -> Iterator[TaughtShard]:
    """Embed batches in order; give each shard once it is written."""
    making = ShardInMaking(dim)
    for batch in batches:
        rows = embedder.embed(batch.images)
        making.add(batch, mean_of_views(rows, len(recipe.views)))
        if bar is not None:
            bar.advance(len(batch.pair_ids), batch.shard.name)
        if batch.last:
            yield making.write(recipe.out / batch.shard.name)
            making = ShardInMaking(dim)


def _default_threads(device: str, ranks: Ranks) -> int:
    cores = len(os.sched_getaffinity(0)) // ranks.local_world
    return 1 if device == 'cpu' else min(max(1, cores), _MOST_THREADS)


def _result(
    recipe: TeachRecipe, choice: TeacherChoice, work: list[Work], order: list[str]
) -> dict[str, Any]:
    """Say in the manifest what came out, and how fast."""
    by_name = {one.shard.name: one for part in work for one in part.taught}
    taught = [by_name[name] for name in order]
    rows = sum(one.shard.rows for one in taught)
    reasons = Counter(reason for one in taught for _, reason in one.skipped)
    images, seconds = sum(part.images for part in work), max(part.seconds for part in work)
    busy, spent = (sum(getattr(p, n) for p in work) for n in ('busy_seconds', 'seconds'))
    return {
        'recipe': recipe.model_dump(mode='json'),
        'teacher': {**work[0].teacher, 'name': choice.name, 'precision': choice.precision},
        'shards': [asdict(one.shard) for one in taught],
        'counts': {
            'pairs': rows,
            'embedded': rows - reasons.total(),
            'skipped': dict(reasons.most_common(_MOST_REASONS)),
        },
        # Of the run that finished the folder; earlier ones left the shards that it kept.
        'speed': {
            'device': choice.device,
            'processes': len(work),
            'kept_shards': sum(part.kept_shards for part in work),
            'images': images,
            'seconds': round(seconds, 3),
            'images_per_second': round(images / seconds, 2) if images else None,
            'busy_share': round(busy / spent, 4) if images else None,
        },
    }


def _write_skipped(path: Path, skipped: list[tuple[str, str]]) -> None:
    text = io.StringIO(newline='')
    csv.writer(text, lineterminator='\n').writerows([('item', 'reason'), *skipped])
    write_text(path, text.getvalue())


def _seen(manifest: dict[str, Any]) -> str:
    images, views = manifest['speed']['images'], manifest['teacher'].get('views')
    return f'{len(views)} views each, {images} in all,' if views else f'{images}'


def _summarise(out: Path) -> int:
    """Print what came out; give the exit status."""
    manifest = read_manifest(out, 'teach')
    counts, speed, teacher = (manifest[name] for name in ('counts', 'speed', 'teacher'))
    print(
        f'{out}: {counts["embedded"]} of {counts["pairs"]} pictures embedded by {teacher["id"]} '
        f'({teacher["dim"]}-d, {teacher["precision"]} on {speed["device"]})'
    )
    if speed['images']:
        print(
            f'{_seen(manifest)} in {timedelta(seconds=round(speed["seconds"]))}: '
            f'{speed["images_per_second"]:.1f} images/s, the teacher busy '
            f'{100 * speed["busy_share"]:.0f} % of the time'
        )
    skipped = counts['pairs'] - counts['embedded']
    if skipped:
        print(f'{skipped} skipped, each listed in {out / SKIPPED}:')
        for reason, number in counts['skipped'].items():
            print(f'{number:>8}  {reason}')
    if counts['embedded']:
        return 0
    print('edgevl teach: no picture could be embedded', file=sys.stderr)
    return 1
