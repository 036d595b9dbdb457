# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several folders of tests share."""

import pytest


@pytest.fixture(scope='session')
def tiny_bundle(tmp_path_factory):
    """Write a small real bundle, read by tests and changed by none."""
    pytest.importorskip('onnx', reason='onnx builds the small bundle that this test runs')
    from support.tiny_bundle import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp('bundles') / 'tiny')
