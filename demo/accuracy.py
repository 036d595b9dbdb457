# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How often the answers agree with a truth file."""

from __future__ import annotations

from collections.abc import Mapping
import csv
from dataclasses import dataclass
from pathlib import Path

from demo.errors import DemoError


@dataclass(frozen=True)
class LabelScore:
    """The frames of one true label: how many there are, were answered, and answered rightly."""

    label: str
    frames: int
    labelled: int
    right: int

    @property
    def accuracy(self) -> float:
        """Give the share of all frames that were answered rightly; a missed frame is wrong."""
        return self.right / self.frames


@dataclass(frozen=True)
class Score:
    """The scores of every true label, in the order in which the labels first appear."""

    rows: tuple[LabelScore, ...]

    @property
    def total(self) -> LabelScore:
        """Add up all frames."""
        return LabelScore(
            'all frames',
            sum(row.frames for row in self.rows),
            sum(row.labelled for row in self.rows),
            sum(row.right for row in self.rows),
        )

    @property
    def mean_class_accuracy(self) -> float:
        """Average the accuracies of the labels, so that a rare label counts as a common one."""
        return sum(row.accuracy for row in self.rows) / len(self.rows)


def score(truth: Mapping[int, str], answers: Mapping[int, str]) -> Score:
    """
    Compare answers with the truth; both map a stamp in nanoseconds to a label.

    A stamp of the truth without an answer counts as wrong; answers elsewhere are ignored.
    """
    rows = []
    for label in dict.fromkeys(truth.values()):
        stamps = [stamp for stamp, true_label in truth.items() if true_label == label]
        given = [answers[stamp] for stamp in stamps if stamp in answers]
        rows.append(LabelScore(label, len(stamps), len(given), given.count(label)))
    return Score(tuple(rows))


def read_truth(path: Path) -> dict[int, str]:
    """
    Read a truth file: CSV with the columns ``stamp_ns`` (integer nanoseconds) and ``label``.

    :raises DemoError: naming the file, the line and what was expected there.
    """
    truth: dict[int, str] = {}
    try:
        with path.open(newline='', encoding='utf-8-sig') as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            if not {'stamp_ns', 'label'} <= set(rows.fieldnames or ()):
                raise DemoError(
                    f'{path}: expected a first line with the columns stamp_ns and label, '
                    f'found {", ".join(rows.fieldnames or ["nothing"])}'
                )
            for row in rows:
                where = f'{path}, line {rows.line_num}'
                stamp, label = _stamp(row['stamp_ns'], where), (row['label'] or '').strip()
                if not label:
                    raise DemoError(f'{where}: expected a label after the stamp, found none')
                if truth.setdefault(stamp, label) != label:
                    raise DemoError(f'{where}: the stamp {stamp} was {truth[stamp]!r} before')
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DemoError(f'cannot read the truth file {path}: {error}') from error
    if not truth:
        raise DemoError(f'{path}: expected at least one line after the first, found none')
    return truth


def _stamp(text: str | None, where: str) -> int:
    try:
        return int(text or '')
    except ValueError:
        raise DemoError(
            f'{where}: expected stamp_ns as whole nanoseconds, found {text!r}'
        ) from None


def find_truth(bag: Path) -> Path | None:
    """Find ``<bag>_truth.csv`` beside the bag or in it; None when there is none."""
    bag = bag.resolve()
    name = f'{bag.stem if bag.is_file() else bag.name}_truth.csv'
    return next((path for path in (bag.parent / name, bag / name) if path.is_file()), None)
