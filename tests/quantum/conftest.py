from collections.abc import Callable
from functools import cache

import pytest

from rbmlib.quantum import MatrixProductState, ground_state


@pytest.fixture(scope="session")
def chain() -> Callable[[int, float], MatrixProductState]:
    """DMRG ground states, each computed once."""
    return cache(ground_state)
