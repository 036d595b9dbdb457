# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The verb ``evaluate``: measure models on the same pairs, as a robot runs them, and report.

Every picture is decoded once; embeddings go to files as they are made, so that memory does not
grow with the number of pairs and a killed run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import os
import sys
from typing import Any

from edgevl_ros.core.preprocess import DepthSpec
from edgevl_training.errors import RecipeError
from edgevl_training.evaluation.embeddings import embed_pairs, EmbeddingFiles
from edgevl_training.evaluation.latency import measure_latency
from edgevl_training.evaluation.metrics import metrics_of, write_predictions, write_skipped
from edgevl_training.evaluation.recipe import EvaluateRecipe
from edgevl_training.evaluation.report import write_report
from edgevl_training.evaluation.results import Evaluated, judge, Result, truth_of
from edgevl_training.evaluation.runners import (
    FloatArray,
    Runner,
    StudentRunner,
    TaughtRunner,
    TeacherRunner,
)
from edgevl_training.evaluation.summary import summarise
from edgevl_training.evaluation.task import open_task, purpose_of, RunTeacher, Task
from edgevl_training.evaluation.words import check_fits, embed_words
from edgevl_training.output import OutputFolder, write_json
from edgevl_training.progress import progress
from edgevl_training.recipe import parse
from edgevl_training.teachers.teacher import open_teacher

METRICS = 'metrics.json'
EMBEDDINGS = 'embeddings'
_DEPTH_RANGE_M = (0.0, 10.0)


def run(arguments: list[str]) -> int:
    """Evaluate; 1 when no picture could be measured."""
    from edgevl_training.cli import VERBS

    recipe = parse(EvaluateRecipe, 'evaluate', arguments, list(VERBS))
    task = open_task(recipe)
    with OutputFolder(recipe.out, 'evaluate', purpose_of(task)) as output:
        if output.finished:
            print(f'{recipe.out}: finished earlier, nothing to do')
        else:
            output.finish(_evaluate(task))
    return _summarise(recipe)


def _evaluate(task: Task) -> dict[str, Any]:
    """Embed, judge, compare and write; give what belongs into the manifest."""
    out = task.recipe.out
    results = _results(task)
    words = embed_words(
        task.vocabulary, {result.name: result.teacher for result in results}, _names_of(task),
        {one.choice.id: one.load for one in task.teachers.values()},
        task.students, lambda name: open_teacher(name, task.recipe.device),
        task.templates,
    )
    for student in task.students:
        check_fits(student, words[student.name])
    runners: list[Runner] = [*_teacher_runners(task), *(
        StudentRunner(student, task.recipe.threads) for student in task.students
    )]
    files = {
        runner.name: EmbeddingFiles(out / EMBEDDINGS / runner.name, task.pairs)
        for runner in runners
    }
    with progress('embedding', len(task.pairs), 'pairs') as bar:
        embed_pairs(task.pairs, runners, files, bar.advance)
    reference = truth_of(task.pairs, task.vocabulary, task.phrase) if task.phrase else None
    evaluated = judge(task.pairs, results, files, words, reference)
    students = [runner for runner in runners if isinstance(runner, StudentRunner)]
    latency = measure_latency(task.pairs, students)
    for result in evaluated.results:
        result.latency_ms = latency.get(result.name)
    return _write(task, evaluated)


def _names_of(task: Task) -> dict[str, str]:
    """Give what every teacher is opened by, by its id."""
    wanted = {student.teacher: student.teacher_name for student in task.students}
    if task.taught is not None:
        wanted[task.taught.id] = task.taught.name
    return wanted | {one.choice.id: one.choice.name for one in task.teachers.values()}


def _teacher_runners(task: Task) -> list[Runner]:
    taught, pairs = task.taught, task.pairs
    runners: list[Runner] = []
    for name, id_ in task.teacher_ids.items():
        colors: Callable[[slice], FloatArray] | None = None
        if taught is not None and id_ == taught.id:
            colors = partial(taught.of, pairs)
        if name in task.teachers:
            teacher = task.teachers[name].teacher
            # What it said of several views is not what it says of a picture as published.
            known = colors if taught is not None and taught.whole else None
            runners.append(TeacherRunner(name, teacher, _range_of(task), known))
        elif taught is not None and colors is not None:
            runners.append(TaughtRunner(name, taught.dim, colors))
    return runners


def _range_of(task: Task) -> DepthSpec:
    """Show teachers the range of the second modality that is asked for, or students look at."""
    near, far = _DEPTH_RANGE_M if task.pairs.modality.name == 'depth' else (0.0, 1.0)
    if task.students:
        of_student = task.students[-1].preprocess.depth
        near, far = of_student.near_m, of_student.far_m
    asked = task.recipe.near, task.recipe.far
    near, far = (old if new is None else new for new, old in zip(asked, (near, far)))
    try:
        return DepthSpec(near, far, missing=0.0, mean=0.5, std=0.5)
    except ValueError as error:
        raise RecipeError(f'--near, --far: {error}') from error


def _results(task: Task) -> list[Result]:
    """Begin a result for every teacher and student, in the order of the report."""
    precisions = {name: one.choice.precision for name, one in task.teachers.items()}
    teachers = [
        Result(name, id_, True, {
            'kind': 'teacher', 'teacher': id_, 'precision': precisions.get(name),
            'parameters': _parameters_of(task.teachers.get(name)),
        })
        for name, id_ in task.teacher_ids.items()
    ]
    return [*teachers, *(
        Result(student.name, student.teacher, False, {
            'kind': 'student', 'teacher': student.teacher, 'precision': student.precision,
            'parameters': student.parameters, 'learned_modalities': list(student.modalities),
            'file': student.graph.name, 'sha256': student.sha256,
        }, size_bytes=student.size_bytes)
        for student in task.students
    )]


def _parameters_of(run: RunTeacher | None) -> int | None:
    """Count the numbers of the image encoder of a teacher that is run."""
    encoder = None if run is None else getattr(run.teacher, 'image_encoder', None)
    if encoder is None:
        return None
    return sum(numbers.numel() for numbers in encoder.parameters())


def _write(task: Task, evaluated: Evaluated) -> dict[str, Any]:
    out = task.recipe.out
    write_skipped(out, evaluated.skipped)
    write_predictions(out / 'predictions.parquet', evaluated)
    metrics = metrics_of(evaluated)
    paths = {
        name: os.path.relpath(folder, out)
        for name, folder in (
            ('pairs', task.recipe.pairs), ('curated', task.recipe.curated),
            ('taught', task.recipe.taught),
            *((f'models.{student.name}', student.path) for student in task.students),
        ) if folder is not None
    }
    write_report(out, evaluated, {**purpose_of(task), 'paths': paths})
    write_json(out / METRICS, metrics)
    return {
        'paths': paths, 'counts': metrics['counts'], 'measure': metrics['measure'],
        'second_modality': metrics['second_modality'],
    }


def _summarise(recipe: EvaluateRecipe) -> int:
    """Print what came out; give the exit status."""
    if summarise(recipe.out, recipe.out / METRICS):
        return 0
    print(
        'edgevl evaluate: no picture could be measured; look at the skipped.csv', file=sys.stderr
    )
    return 1
