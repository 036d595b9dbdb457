# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""True scenes of a recording, from a CSV: for measuring only."""

from __future__ import annotations

import csv
from pathlib import Path

from edgevl_training.errors import SourceError


def read_truth(path: Path | None, bag: str) -> dict[int, str]:
    """
    Read the scene of each colour stamp of one bag.

    :raises SourceError: when the file is no such CSV.
    """
    if path is None:
        return {}
    try:
        with path.open(newline='', encoding='utf-8-sig') as file:
            rows = csv.DictReader(file)
            absent = {'stamp_ns', 'label'} - set(rows.fieldnames or ())
            if absent:
                raise SourceError(
                    f'{path}: expected the columns stamp_ns,label or bag,stamp_ns,label, found '
                    f'{",".join(rows.fieldnames or ()) or "none"}'
                )
            return {
                int(row['stamp_ns']): row['label'] for row in rows
                if row.get('bag') in (None, '', bag)
            }
    except (OSError, TypeError, ValueError, csv.Error) as error:
        raise SourceError(f'{path}: expected a CSV with stamps in nanoseconds: {error}') from error
