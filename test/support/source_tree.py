# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the sources are, and what of them is ours."""
from __future__ import annotations

from pathlib import Path
import shutil

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ('benchmarks', 'demo', 'edgevl_ros', 'edgevl_training', 'launch', 'scripts', 'test')


def python_folders() -> list[str]:
    """Return the paths to check: never .venv, build or what a user keeps beside them."""
    folders = [str(ROOT / name) for name in FOLDERS if (ROOT / name).is_dir()]
    return [*folders, str(ROOT / 'setup.py')]


def copy_package(target: Path) -> Path:
    """Copy what a user's workspace or an sdist would hold of this package; return the target."""
    target.mkdir(parents=True)
    for name in ('edgevl_ros', 'edgevl_training', 'launch', 'config', 'resource'):
        shutil.copytree(
            ROOT / name, target / name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('setup.py', 'setup.cfg', 'pyproject.toml', 'package.xml', 'LICENSE'):
        shutil.copy(ROOT / name, target / name)
    return target
