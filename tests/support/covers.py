"""`@covers("T33")`: link a test to the threats and faults that it shows to be handled.

`pytest.param("nat", marks=covers("F20"))` links one set of its parameters.
"""

from __future__ import annotations

import pytest

covers = pytest.mark.covers
