# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Train, export and measure the students of one seed, each once."""

from __future__ import annotations

from collections.abc import Callable
import importlib
import json
from pathlib import Path
import traceback
from typing import Any

from edgevl_ros.core.errors import EdgeVLError
from edgevl_ros.core.files import sha256_of
from edgevl_training.ablation.experiments import Experiment, EXPERIMENTS
from edgevl_training.ablation.sources import Sources
from edgevl_training.errors import OtherOutputError, TrainingError
from edgevl_training.output import MANIFEST, read_manifest, write_text

METRICS = 'metrics.json'
ERROR = 'error.txt'


class Students:
    """
    The students of one seed, in ``NAME/trained``, ``NAME/exported`` and ``NAME/evaluated``.

    Every step is a verb that skips what is finished, so the same ablation goes on where it was
    killed. What ``edgevl adapt`` has made of the same recipe and seed is taken as it is.
    """

    def __init__(self, sources: Sources, seed: int, folder: Path) -> None:
        """Name the folder."""
        self._sources, self._seed, self._folder = sources, seed, folder
        # Folders of finished exports by experiment.
        self.exported: dict[str, Path] = {}
        self._trained_in: dict[str, Path] = {}
        self._metrics: dict[str, dict[str, Any]] = {}
        self._failed: dict[tuple[str, str], TrainingError] = {}

    def measured(self, name: str) -> dict[str, Any]:
        """
        Give what ``edgevl evaluate`` says of an experiment's student.

        :raises TrainingError: when a step failed, now or for an earlier row.
        """
        if name not in self._metrics:
            self._metrics[name] = self._once('measured', name, self._evaluated)
        return self._metrics[name]

    def _once(self, what: str, name: str, step: Callable[[str], Any]) -> Any:
        """Do a step, and fail at once where it failed before."""
        if (what, name) in self._failed:
            raise self._failed[what, name]
        try:
            return step(name)
        except Exception as error:
            self._failed[what, name] = failure = TrainingError(reason_of(error))
            if not isinstance(error, EdgeVLError):
                path = self._folder / name / ERROR
                path.parent.mkdir(parents=True, exist_ok=True)
                write_text(path, traceback.format_exc())
            raise failure from error

    def _trained(self, name: str) -> Path:
        if name not in self._trained_in:
            # Apart from measuring: other students may go on from one that cannot be measured.
            self._trained_in[name] = self._once('trained', name, self._train)
        return self._trained_in[name]

    def _train(self, name: str) -> Path:
        experiment = EXPERIMENTS[name]
        words = self._words(experiment)
        work = self._sources.work
        if work is not None and experiment.trained is not None:
            there = work / experiment.trained
            if self._sources.holds(there, experiment.verb, words):
                print(f'{there}: taken for {name}, of the same recipe and seed')
                return there
        out = self._folder / name / 'trained'
        self._run(experiment.verb, name, [*words, '--out', str(out)])
        return out

    def _words(self, experiment: Experiment) -> list[str]:
        """Give the options of the verb that trains, but for where to."""
        budgets = self._sources.budgets()
        words = [
            *self._sources.words, '--data', str(self._sources.curated), '--seed', str(self._seed),
            *(option.format(**budgets) for option in experiment.options),
        ]
        if experiment.base is None:
            return words
        return [*words, '--student', str(self._trained(experiment.base))]

    def _export(self, name: str) -> Path:
        student = self._trained(name)
        known, work = EXPERIMENTS[name].exported, self._sources.work
        if work is not None and known is not None and _is_export_of(work / known, student):
            print(f'{work / known}: taken for {name}')
            return work / known
        out = self._folder / name / 'exported'
        self._run('export', name, ['--student', str(student), '--out', str(out)])
        return out

    def _evaluated(self, name: str) -> dict[str, Any]:
        self.exported[name] = exported = self._export(name)
        return evaluate(
            self._sources, self._folder / name / 'evaluated', f'{name} of seed {self._seed}',
            name, ['--models', f'{name}={exported}', '--teacher'],
        )

    def _run(self, verb: str, name: str, words: list[str]) -> None:
        run_verb(verb, f'{name} of seed {self._seed}', words)


def evaluate(
    sources: Sources, out: Path, what: str, name: str, words: list[str]
) -> dict[str, Any]:
    """
    Measure a model or a teacher on the test pairs.

    :returns: all of ``metrics.json``; ``name``, and what it says of that as ``result``.
    """
    words = [*sources.words_to_measure, *words]
    try:
        run_verb('evaluate', what, [*words, '--out', str(out)])
    except OtherOutputError:
        # Measured before among other words, or by another teacher: that stays as it is.
        out = out.with_name(f'{out.name}_{sources.measure}')
        run_verb('evaluate', what, [*words, '--out', str(out)])
    metrics: dict[str, Any] = json.loads((out / METRICS).read_text(encoding='utf-8'))
    return {**metrics, 'name': name, 'result': metrics['results'][name]}


def run_verb(verb: str, what: str, words: list[str]) -> None:
    """
    Run a verb in this process.

    :raises TrainingError: when it ends with nothing usable.
    """
    print(f'\n== {what}: {verb}', flush=True)
    status = importlib.import_module(f'edgevl_training.{verb}').run(words)
    if status:
        raise TrainingError(f'edgevl {verb} of {what}: expected exit status 0, found {status}')


def reason_of(error: BaseException) -> str:
    """Say in one line why a row has no numbers."""
    text = ' '.join(str(error).split())
    return text if isinstance(error, EdgeVLError) else f'{type(error).__name__}: {text}'


def _is_export_of(folder: Path, student: Path) -> bool:
    """Tell whether a finished export is of this very student."""
    if not (folder / MANIFEST).is_file():
        return False
    identity = sha256_of(student / MANIFEST)
    return identity in json.dumps(read_manifest(folder, 'export'))
