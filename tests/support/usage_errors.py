"""Checks that a call is refused with a UsageError of one line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from popbench.errors import UsageError


def refusal(call: Callable[[], object]) -> str:
    """Return the message of the UsageError of a call."""
    with pytest.raises(UsageError) as caught:
        call()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message
