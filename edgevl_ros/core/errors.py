# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The errors that edgevl_ros raises; each message says how to mend what it reports."""


class EdgeVLError(Exception):
    """Base of every error that edgevl_ros raises on purpose."""


class BadImage(EdgeVLError):
    """One image message cannot be used; the next one may be fine."""


class BundleError(EdgeVLError):
    """A bundle is missing, malformed, altered or does not run as it was exported."""


class VocabularyError(EdgeVLError):
    """A vocabulary cannot be built from the phrases that were asked for."""


class BackendError(EdgeVLError):
    """An inference backend cannot be made or cannot run."""


class SettingsError(EdgeVLError):
    """A setting has a value that it cannot take."""


class FileNameError(EdgeVLError):
    """A file name leads, or may lead, out of the folder that it belongs to."""
