"""Checks the rules for all components: what they state about themselves, and how they are made."""

from __future__ import annotations

import json
import math
import numbers
import pickle
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from popbench.errors import UsageError, one_line, unknown
from popbench.interfaces import Component
from popbench.options import Options
from popbench.records import JSON, Needs
from popbench.registry import KINDS, create, load_registry
from popbench.specs import ComponentSpec
from popbench.testing.rules import Book
from popbench.testing.variations import other_options

SLOW = 1.0
"""If making a component takes more seconds, the report has a note on it."""


@dataclass(frozen=True)
class Subject:
    """The component under test, which can make others like it. `spec` is None if a class or an instance was given."""

    kind: str
    name: str
    component: Any
    spec: ComponentSpec | None
    seconds: float

    def fresh(self) -> Any:
        """Make another instance: from the spec, as a worker does, or from the class and the options."""
        return self.remake(self.component.options) if self.spec is None else create(self.spec)

    def remake(self, options: Options) -> Any:
        """Make an instance of the same class with other options."""
        made = type(self.component)(options)
        made.options = options
        made.version = self.component.version
        return made


def find_subject(kind: str, given: str | Component | type[Component]) -> Subject:
    """Make the component that a check was given; raises UsageError for an unknown spec and for another kind."""
    started = time.perf_counter()
    base = KINDS[kind][1]
    if isinstance(given, str):
        resolved = load_registry().resolve(kind, given)
        return Subject(kind, given, resolved.component, resolved.spec, time.perf_counter() - started)
    if isinstance(given, type) and issubclass(given, base):
        made = given()
        return Subject(kind, given.__name__, made, None, time.perf_counter() - started)
    if isinstance(given, base):
        return Subject(kind, type(given).__name__, given, None, 0.0)
    raise UsageError(f"{given!r} is no {kind}: expected a spec, or a popbench.{base.__name__} or its class")


def check_component(book: Book, subject: Subject, others: Mapping[str, JSON]) -> list[str]:
    """Check what a component states about itself; return what it lacks to run here."""
    component, cls = subject.component, type(subject.component)
    possible = getattr(type(component.options), "model_fields", {})
    for name in others:
        if name not in possible:
            raise unknown(f"option in other_options of {subject.kind} {subject.name}", name, possible)
    summary = (cls.__doc__ or "").strip()
    book.expect("docstring", bool(summary), f"class {cls.__name__} has none")
    if subject.seconds > SLOW:
        book.note(f"making it took {subject.seconds:.1f} s: load in the first call that needs it")
    _check_version(book, component)
    _check_label(book, component)
    _check_needs(book, component)
    for requests in (1, 1000):
        check_usd(book, "estimate", component.estimate, requests)
    _check_close(book, subject)
    if _check_options(book, component):
        _check_spec(book, subject)
        _check_fingerprint(book, subject)
        _check_variations(book, subject, others)
    return book.texts("check", "check()", component.check)


def require(book: Book, missing: list[str]) -> None:
    """Stop if a component cannot run here: raises ConformanceError if there are breaches already, else UsageError."""
    if missing:
        book.conclude()
        raise UsageError(f"{book.kind} {book.name} cannot run here, so it was not checked: {'; '.join(missing)}")


def fingerprint_text(component: Component) -> str:
    """Return a component's fingerprint as canonical JSON; raises TypeError or ValueError if it is not JSON."""
    fingerprint = component.fingerprint()
    if not isinstance(fingerprint, Mapping):
        raise TypeError(f"fingerprint is {type(fingerprint).__name__}, not a mapping")
    return json.dumps(dict(fingerprint), sort_keys=True, allow_nan=False)


def check_usd(book: Book, rule: str, call: Callable[[Any], Any], given: Any) -> None:
    """Check that `cost()` of a usage, or `estimate()` of a number of requests, is None or an amount of USD."""
    what = f"{rule}({dict(given) if isinstance(given, Mapping) else given})"
    book.look(rule)
    try:
        usd = call(given)
    except Exception as error:
        book.breach(rule, f"{what} raised {one_line(error)}")
        return
    number = isinstance(usd, numbers.Real) and not isinstance(usd, bool)
    book.expect(rule, usd is None or (number and 0 <= float(usd) < math.inf), f"{what} is {usd!r}")


def check_used(book: Book, component: Component, before: str | None, when: str = "after use") -> None:
    """Check that use has not changed the fingerprint."""
    if before is None:
        return
    after = book.attempt("fingerprint", "fingerprint()", lambda: fingerprint_text(component), when)
    if after is not None:
        book.expect("fingerprint", before == after, f"was {before} before, is {after} now", when)


def fingerprint_before(component: Component) -> str | None:
    """Return the fingerprint before use; None if it cannot be taken, which another rule reports."""
    try:
        return fingerprint_text(component)
    except Exception:
        return None


def _check_version(book: Book, component: Component) -> None:
    version, repeatable = component.version, component.repeatable
    book.expect("version", isinstance(version, str), f"version is {version!r}")
    if not getattr(type(component), "version", ""):
        book.note('the class sets no version, so each release counts as another model: set version = "1"')
    book.expect("repeatable", isinstance(repeatable, bool), f"repeatable is {repeatable!r}")
    if book.kind in ("embedder", "corpus"):
        book.expect("repeatable", repeatable is not False, f"repeatable is {repeatable!r} of the {book.kind}")


def _check_label(book: Book, component: Component) -> None:
    label = book.attempt("label", "label()", component.label)
    if label is not None:
        fine = isinstance(label, str) and label.strip() and "|" not in label and label.isprintable()
        book.expect("label", bool(fine), f"label() returned {label!r}")


def _check_needs(book: Book, component: Component) -> None:
    book.look("needs")
    try:
        needs: Any = component.needs()
    except Exception as error:
        book.breach("needs", f"needs() raised {one_line(error)}")
        return
    if not book.expect("needs", isinstance(needs, Needs), f"needs() returned {needs!r}"):
        return
    for name, value in asdict(needs).items():
        fine = isinstance(value, int | float) and math.isfinite(value) and value >= 0
        book.expect("needs", fine, f"is {value!r}", f"needs().{name}")


def _check_close(book: Book, subject: Subject) -> None:
    fresh = book.attempt("spec", "making another instance", subject.fresh)
    if fresh is not None:
        book.attempt("close", "close() before any use", fresh.close)
        book.attempt("close", "the second close() before any use", fresh.close)


def _check_options(book: Book, component: Component) -> bool:
    options = component.options
    if not book.expect("options", isinstance(options, Options), f"options are {type(options).__name__}"):
        return False
    cls = type(options)
    values = {name: getattr(options, name) for name in cls.model_fields}
    try:
        cls.model_validate({**values, "no_such_option": 1})
    except ValueError:
        return True
    seen = f"{cls.__qualname__} takes an option it does not have: a mistyped key would pass unseen"
    book.breach("options", seen, "no_such_option")
    return True


def _check_spec(book: Book, subject: Subject) -> None:
    options = subject.component.options
    made = book.attempt("spec", "writing options as JSON", lambda: _through_json(options))
    if made is not None:
        changed = [name for name in type(options).model_fields if getattr(made, name) != getattr(options, name)]
        for name in changed:
            book.breach("spec", f"is {getattr(options, name)!r} and comes back as {getattr(made, name)!r}", name)
    if subject.spec is not None:
        spec = subject.spec
        again = book.attempt("spec", "pickling the spec", lambda: pickle.loads(pickle.dumps(spec)), "pickle")
        book.expect("spec", again == spec, f"pickle gave back {again!r}", "pickle")


def _through_json(options: Options) -> Options:
    text = json.dumps(options.model_dump(mode="json", exclude_unset=True), allow_nan=False)
    return type(options).model_validate(json.loads(text))


def _check_fingerprint(book: Book, subject: Subject) -> None:
    first = book.attempt("fingerprint", "fingerprint()", lambda: fingerprint_text(subject.component))
    if first is None:
        return
    try:
        second = fingerprint_text(subject.fresh())
    except Exception as error:
        book.breach("fingerprint", f"raised {one_line(error)}", "equal options")
        return
    book.expect("fingerprint", first == second, f"gave {first} and {second}", "equal options")


def _check_variations(book: Book, subject: Subject, others: Mapping[str, JSON]) -> None:
    options: Options = subject.component.options
    first = fingerprint_before(subject.component)
    if first is None:
        return
    for name in type(options).model_fields:
        rule = "runtime" if name in options.runtime_names() else "determining"
        book.look(rule)
        changed = _variation(book, subject, name, others)
        if changed is None:
            continue
        value, text = changed
        if rule == "runtime":
            book.expect(rule, text == first, f"{name}={value!r} changed the fingerprint to {text}", name)
        else:
            book.expect(rule, text != first, f"{name}={value!r} left the fingerprint as it was", name)


def _variation(book: Book, subject: Subject, name: str, others: Mapping[str, JSON]) -> tuple[Any, str] | None:
    """Return another value of an option, and the fingerprint with it; None with a note if there is none."""
    options: Options = subject.component.options
    why = "no other valid value was found"
    given = [others[name]] if name in others else None
    for changed in other_options(options, name, given):
        try:
            return getattr(changed, name), fingerprint_text(subject.remake(changed))
        except Exception as error:
            why = f"with {getattr(changed, name)!r} there is no fingerprint ({one_line(error)})"
    book.note(f"option {name} was not varied: {why}; other_options={{{name!r}: VALUE}} gives one to try")
    return None
