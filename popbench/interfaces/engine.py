"""What runs components."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from popbench.interfaces.component import Component
from popbench.records import Answer, Request, Submitted, Workers
from popbench.specs import ComponentSpec


class Engine(Component, ABC):
    """Runs components: here, or on other machines.

    >>> import popbench
    >>> from popbench.engines import Rendered, answers
    >>> from popbench.registry import create
    >>> class Plain(popbench.Engine):
    ...     "Makes a component for each call and runs it in the thread of the call."
    ...
    ...     version = "1"
    ...
    ...     def start(self, workspace):
    ...         self._workspace = workspace
    ...
    ...     def map(self, spec, items):
    ...         component = create(spec)
    ...         try:
    ...             for answer in answers(component, items, self._workspace, spec.label):
    ...                 yield answer.encoded() if isinstance(answer, Rendered) else answer
    ...         finally:
    ...             component.close()
    """

    kind = "engine"

    def start(self, workspace: Path) -> None:
        """Prepare for `map`; clips are yielded as paths of mp4 files under `workspace`."""

    @abstractmethod
    def map(self, spec: ComponentSpec, items: Iterable[Request]) -> Iterator[Answer | Submitted]:
        """Pass `items` to the component that `spec` describes and yield its answers, clips as mp4 files.

        What a component has `Submitted` is yielded too, as soon as it comes, and its item stays unanswered. It is
        stored before the next is taken. Should an engine send such an item again, it sends it with that `job`.

        The component may be kept for later calls until `release`. `items` may be consumed in another thread. Pulling
        an item may block until an earlier stage has one; that time does not count as silence of the component. Raises
        ComponentError if the component raises, ends early, answers wrongly, or is silent for too long. `map` may be
        called for different components in several threads at a time, as far as `overlaps` allows.
        """

    def overlaps(self, spec: ComponentSpec, others: Sequence[ComponentSpec]) -> bool:  # noqa: ARG002 - for those who can
        """Say whether a component can work while all `others` work. By default never: stages run one by one."""
        return False

    def lacks(self, spec: ComponentSpec, component: Component) -> list[str]:  # noqa: ARG002 - for those elsewhere
        """Return what a component lacks to run where this engine runs it; by default `component.check()`."""
        return component.check()

    def at_work(self, spec: ComponentSpec) -> Workers:  # noqa: ARG002 - for those who have several
        """Return on how many workers, with how many GPUs each, a component works now: for progress and costs."""
        return Workers()

    def notices(self) -> list[str]:
        """Return lines for the user that have come up since the last call, such as machines that are left out."""
        return []

    def interrupt(self) -> None:
        """Make every running `map` raise ComponentError soon. Called from another thread."""

    def release(self, spec: ComponentSpec) -> None:
        """Close the component that `spec` describes, to free its memory for the next one."""
