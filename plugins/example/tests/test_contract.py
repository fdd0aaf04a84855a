"""popbench's own rules, checked on everything that this plugin registers."""

from __future__ import annotations

import pytest
from popbench import testing


@pytest.mark.parametrize("spec", ["haiku", "haiku,temperature=0", "haiku-hot", "haiku,pause=0.001"])
def test_writers_keep_the_contract(spec: str) -> None:
    testing.check_llm(spec)


@pytest.mark.parametrize("spec", ["waves", "waves,width=65,height=33,frames=1"])
def test_painters_keep_the_contract(spec: str) -> None:
    testing.check_generator(spec)
