"""`@covers("T33")`: link a test to the threats and faults that it shows to be handled."""

from __future__ import annotations

import pytest

covers = pytest.mark.covers
