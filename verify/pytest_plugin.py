"""Fixtures for pytest: ``pytest_plugins = ["verify.pytest_plugin"]``."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from verify import testing


@pytest.fixture
def assert_matches() -> Callable[..., None]:
    """`verify.testing.assert_matches`."""
    return testing.assert_matches


@pytest.fixture
def assert_descends() -> Callable[..., None]:
    """`verify.testing.assert_descends`."""
    return testing.assert_descends
