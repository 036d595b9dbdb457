# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The parameter file is what the settings say, or this fails."""

from pathlib import Path

from edgevl_ros.core.params_file import params_file, PATH
from edgevl_ros.core.settings import Settings
import yaml

ROOT = Path(__file__).parents[2]


def test_the_file_has_not_drifted():
    assert (ROOT / PATH).read_text(encoding='utf-8') == params_file(), (
        f'{PATH} is out of date; run: python -m edgevl_ros.core.params_file > {PATH}'
    )


def test_the_file_gives_the_defaults():
    values = yaml.safe_load(params_file())['/**']['ros__parameters']
    assert Settings().changed(values) == Settings()
    assert len(values) == len(Settings.__dataclass_fields__)
