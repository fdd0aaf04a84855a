"""The engine that runs components in actors of a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import popbench


class RayEngine(popbench.Engine):
    """Runs components in workers of a Ray cluster."""

    def map(self, spec: popbench.ComponentSpec, items: Iterable[popbench.Request]) -> Iterator[popbench.Answer]:
        """Run the component in workers and hand their answers over one by one."""
        raise NotImplementedError
