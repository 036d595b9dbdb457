# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The loop that both stages share: epochs, learning rate, checkpoints, metrics, model choice.

Everything random is drawn from the seed and the epoch, so a run that was killed goes on from its
last checkpoint to the weights of an unbroken one. The best epoch is chosen on the validation
split, without any true label: by how near the student is to the teacher, or by what a stage
measures beside that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import math
from pathlib import Path
import time
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast
from edgevl_ros.core.frame import Modality
from edgevl_ros.core.preprocess import PreprocessSpec
from edgevl_training import checkpoint
from edgevl_training.curated_split import CuratedSplit
from edgevl_training.errors import TrainingError
from edgevl_training.progress import Progress, progress
from edgevl_training.teaching.prefetch import prefetched
from edgevl_training.training_data import Batch, batches_in_epoch, batches_of, BatchPlan
from edgevl_training.training_log import TrainingLog
from edgevl_training.training_measures import (
    agreement,
    BY_AGREEMENT,
    Choice,
    Features,
    named_means,
    nearness,
)
from edgevl_training.training_plan import Training, training_spec
import numpy as np
from numpy.typing import NDArray
import torch
from torch import nn, Tensor

LATEST, BEST = 'checkpoint.safetensors', 'best.safetensors'

_AHEAD = 2
_MOST_NAMED = 16

# Features of a batch -> the terms of the loss by name; their weighted sum is minimised.
Objective = Callable[[Features], dict[str, Tensor]]


class Trainer:
    """A student in training; ``epochs`` are the metrics of those that are done."""

    def __init__(
        self, accelerator: Accelerator, student: nn.Module, objective: Objective,
        weights: dict[str, float], spec: PreprocessSpec, training: Training, folder: Path,
        choice: Choice = BY_AGREEMENT,
    ) -> None:
        """
        Prepare to train, from the last checkpoint in the folder where there is one.

        :param weights: of the terms that the objective gives, by their names.
        :param folder: for `LATEST`, `BEST` and the metrics; all processes must see it.
        :param choice: of the best epoch.
        :raises TrainingError: when the checkpoint is of another student, or the student does not
            run on images of the training's size.
        """
        self.epochs: list[dict[str, Any]] = []
        self._accelerator, self._objective, self._weights = accelerator, objective, weights
        self._spec, self._training, self._folder = spec, training, folder
        self._training_spec = training_spec(student, spec, training.image_size)
        self._choice = choice
        optimizer = torch.optim.AdamW(
            student.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
        )
        # Convolutions are faster with the channels of a pixel side by side.
        student.to(memory_format=torch.channels_last)
        self._model, self._optimizer = accelerator.prepare(student, optimizer)
        if (folder / LATEST).is_file():
            state = checkpoint.load(folder / LATEST, self._student, self._optimizer)
            self.epochs = state['epochs']
            if accelerator.scaler is not None and state['scaler']:
                accelerator.scaler.load_state_dict(state['scaler'])

    @property
    def best(self) -> dict[str, Any]:
        """Give the metrics of the chosen epoch; the first of equals."""
        return max(self.epochs, key=lambda epoch: [epoch[name] for name in self._choice.by])

    def measure(self, validation: CuratedSplit) -> None:
        """Take the student as it is for the only epoch, number 0, and train nothing."""
        self.epochs = [{'epoch': 0, **self.validate(validation), 'seconds': 0.0}]
        with self._log():
            pass

    def take_best(self) -> None:
        """Put the weights of the chosen epoch into the student, in the first process."""
        if self._accelerator.is_main_process:
            checkpoint.load(self._folder / BEST, self._student)

    def fit(self, train: CuratedSplit, validation: CuratedSplit) -> None:
        """
        Train to the end and leave the best weights in `BEST`.

        :raises TrainingError: when a loss is not finite, naming the epoch and the pairs; or when
            there are fewer pairs than processes times accumulated batches.
        """
        plan = self._plan()
        batches = batches_in_epoch(train, plan)
        if not batches:
            raise TrainingError(
                f'{train.folder}: expected at least {plan.world * plan.accumulate} pairs to '
                f'train on, one for each process and accumulated batch, found {len(train)}'
            )
        done, wanted = len(self.epochs), self._training.epochs
        with self._log() as log, self._progress(wanted * batches, done * batches) as bar:
            for epoch in range(done, wanted):
                self._epoch(epoch, train, validation, plan, batches, bar)
                self._keep(log)

    def _epoch(
        self, epoch: int, train: CuratedSplit, validation: CuratedSplit, plan: BatchPlan,
        batches: int, bar: Progress | None,
    ) -> None:
        """Train for an epoch, measure, and note both."""
        started_s = time.perf_counter()
        self._seed(epoch)
        self._model.train()
        sums: dict[str, float] = {}
        batches_ahead = batches_of(train, self._training_spec, plan, epoch)
        with prefetched(batches_ahead, _AHEAD) as ready:
            for number, batch in enumerate(ready):
                self._set_learning_rate((epoch * batches + number) // plan.accumulate, batches)
                for name, value in self._step(batch, epoch, number).items():
                    sums[name] = sums.get(name, 0.0) + value
                means = {name: total / (number + 1) for name, total in sums.items()}
                if bar is not None:
                    bar.advance(1, _note(epoch, means))
        trained_s = time.perf_counter() - started_s
        self.epochs.append({
            'epoch': epoch + 1,
            **{f'train_{name}': value for name, value in self._over_processes(means).items()},
            **self.validate(validation),
            'learning_rate': self._optimizer.param_groups[0]['lr'],
            'seconds': round(time.perf_counter() - started_s, 3),
            'pairs_per_second': round(batches * plan.size / trained_s, 2),
        })

    def _step(self, batch: Batch, epoch: int, number: int) -> dict[str, float]:
        """Go a step down the loss; give its terms."""
        try:
            return self._descend(batch, epoch, number)
        except torch.cuda.OutOfMemoryError as error:
            raise TrainingError(_too_large(len(batch.rows), str(error))) from error

    def _descend(self, batch: Batch, epoch: int, number: int) -> dict[str, float]:
        with self._accelerator.accumulate(self._model):
            terms = self._objective(self._features(self._model, batch))
            loss = torch.stack([self._weights[name] * terms[name] for name in terms]).sum()
            values = torch.stack([loss, *terms.values()]).tolist()
            if not np.isfinite(values).all():
                raise TrainingError(_not_finite(values, terms, batch, epoch, number))
            self._accelerator.backward(loss)
            self._optimizer.step()
            self._optimizer.zero_grad()
        return dict(zip(['loss', *terms], values))

    def _features(self, model: nn.Module, batch: Batch) -> Features:
        """Embed both modalities in one pass: batch norm sees the mixture that a robot will see."""
        # Before the student's activations fill the memory.
        targets = self._targets(batch)
        colour = Modality.RGB in self._training.modalities
        parts = [batch.rgb] if colour else []
        parts.append(batch.depth if batch.has_depth.all() else batch.depth[batch.has_depth])
        images = torch.from_numpy(np.concatenate(parts)).to(
            self._accelerator.device, memory_format=torch.channels_last, non_blocking=True
        )
        rows = model(images).float()
        of_colour = len(batch.rgb) if colour else 0
        teacher, labels, has_depth = (
            torch.from_numpy(values).to(self._accelerator.device)
            for values in (targets, batch.labels, batch.has_depth)
        )
        return Features(
            rows[:of_colour], rows[of_colour:], teacher, labels, has_depth, batch.depth_weight
        )

    def _targets(self, batch: Batch) -> NDArray[np.float32]:
        """Give what the teacher says of the crops, or of the whole pictures."""
        asked, inputs = self._training.crop_teacher, batch.teacher_inputs
        return batch.teacher if asked is None or inputs is None else asked.embed(inputs)

    @torch.inference_mode()
    def validate(self, split: CuratedSplit) -> dict[str, float]:
        """
        Measure the student on whole pictures and without true labels.

        :returns: L1 loss and cosine to the teacher of each modality, and the agreement: the mean
            of the cosines; then what the choice of the epoch measures.
        """
        student = self._student.eval()
        # Each process has met other pictures; what is saved, and so is measured, is the first's.
        broadcast(list(student.buffers()))
        measures = self._choice.measures
        near = torch.zeros(2, 3, dtype=torch.float64, device=self._accelerator.device)
        more = {name: near.new_zeros(2, 2) for name in measures}
        for batch in batches_of(split, self._spec, self._plan(training=False)):
            if len(batch.rows):
                features = self._features(student, batch)
                near += nearness(features)
                for name, measure in measures.items():
                    more[name] += measure(features, split.label_names)
        metrics = agreement(self._accelerator.reduce(near).tolist())
        for name, sums in more.items():
            metrics.update(named_means(name, self._accelerator.reduce(sums).tolist()))
        return metrics

    @property
    def _student(self) -> nn.Module:
        return self._accelerator.unwrap_model(self._model)

    def _plan(self, training: bool = True) -> BatchPlan:
        how = self._training
        return BatchPlan(
            how.batch_size // how.accumulate, how.seed, how.smallest_area if training else None,
            how.modalities, self._accelerator.process_index, self._accelerator.num_processes,
            how.threads, how.accumulate, how.crop_teacher if training else None,
        )

    def _seed(self, epoch: int) -> None:
        """Settle what dropout will draw: in every epoch and process something else."""
        entropy = [self._training.seed, epoch, self._accelerator.process_index]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))

    def _set_learning_rate(self, step: int, batches: int) -> None:
        how = self._training
        steps = how.epochs * batches // how.accumulate
        share = (1 + math.cos(math.pi * step / max(1, steps - 1))) / 2
        rate = how.final_learning_rate + share * (how.learning_rate - how.final_learning_rate)
        for group in self._optimizer.param_groups:
            group['lr'] = rate

    def _over_processes(self, means: dict[str, float]) -> dict[str, float]:
        values = torch.tensor(list(means.values()), device=self._accelerator.device)
        return dict(zip(means, self._accelerator.reduce(values, 'mean').tolist()))

    def _keep(self, log: TrainingLog | None) -> None:
        """Write the best weights, then the checkpoint that knows of them, then the metrics."""
        if log is not None:
            if self.best is self.epochs[-1]:
                checkpoint.save(self._folder / BEST, self._student, None, {'epochs': self.epochs})
            scaler = self._accelerator.scaler
            checkpoint.save(self._folder / LATEST, self._student, self._optimizer, {
                'epochs': self.epochs, 'scaler': scaler.state_dict() if scaler else None,
            })
            log.add(self.epochs)
        self._accelerator.wait_for_everyone()

    @contextmanager
    def _log(self) -> Iterator[TrainingLog | None]:
        """Give the first process a log; the others have none."""
        if not self._accelerator.is_main_process:
            yield None
            return
        with TrainingLog(self._folder, self.epochs) as log:
            yield log

    @contextmanager
    def _progress(self, batches: int, done: int) -> Iterator[Progress | None]:
        """Let the first process show how far all are."""
        title = f'{self._folder.name}: {self._training.epochs} epochs'
        if not self._accelerator.is_main_process:
            yield None
            return
        with progress(title, batches, 'batches', done) as bar:
            yield bar


def _note(epoch: int, means: dict[str, float]) -> str:
    losses = '  '.join(f'{name} {value:.4f}' for name, value in means.items())
    return f'epoch {epoch + 1}  {losses}'


def _too_large(pairs: int, reason: str) -> str:
    return (
        f'expected a step on {pairs} pairs to fit into the memory of the GPU, found '
        f'{reason.splitlines()[0][:200]}; begin again in another folder with a larger '
        '--accumulate, --precision bf16, or a smaller --batch-size'
    )


def _not_finite(
    values: list[float], terms: dict[str, Tensor], batch: Batch, epoch: int, number: int
) -> str:
    """Say which loss is not finite, on which pairs."""
    losses = ', '.join(f'{name} {value}' for name, value in zip(['loss', *terms], values))
    pairs = batch.pair_ids
    more = f' and {len(pairs) - _MOST_NAMED} more' if len(pairs) > _MOST_NAMED else ''
    kept = f'the checkpoint of epoch {epoch} is kept' if epoch else 'there is no checkpoint yet'
    return (
        f'epoch {epoch + 1}, batch {number + 1}: expected finite losses, found {losses}, on the '
        f'pairs {", ".join(pairs[:_MOST_NAMED])}{more}; {kept}. Look at these pairs, or begin '
        'again in another folder with a lower --learning-rate'
    )
