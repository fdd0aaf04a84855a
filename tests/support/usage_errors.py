"""What every refusal of popbench is: a UsageError whose message is one line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from popbench.errors import UsageError


def refusal(call: Callable[[], object]) -> str:
    """The message of what a call is refused with."""
    with pytest.raises(UsageError) as caught:
        call()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message
