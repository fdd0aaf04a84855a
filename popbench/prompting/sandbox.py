"""The Jinja environment for templates of strangers: it takes plain data and returns text.

Jinja's own sandbox allows every public attribute and every call, so one unsafe method of any reachable object breaks
it. This environment has lists of what is allowed instead: values are copies of plain data, and attributes, filters and
calls are those named below. All work is counted in steps (`sandbox_limits`), so that every rendering ends.
"""

from __future__ import annotations

import functools
import numbers
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set, ValuesView
from contextlib import contextmanager
from types import BuiltinMethodType, MethodType
from typing import Any, TypeAlias

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.loaders import split_template_path
from jinja2.runtime import BlockReference, LoopContext, Macro, TemplateReference
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace

from popbench.prompting.sandbox_limits import (
    COUNTED,
    JOINED,
    STEPPED,
    WEIGHED,
    Counting,
    Work,
    check_tree,
    filter_steps,
    kind_of,
    operator_steps,
)

Plain: TypeAlias = "str | int | float | bool | Sequence[Plain] | Mapping[str, Plain] | None"

ATTRIBUTES: Mapping[type, frozenset[str]] = {
    str: frozenset({
        "capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha", "isascii",
        "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper", "join", "lower", "lstrip",
        "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rpartition", "rsplit",
        "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper", "center", "ljust",
        "rjust", "zfill", "isprintable",
    }),
    list: frozenset({"count", "index"}),
    tuple: frozenset({"count", "index"}),
    dict: frozenset({"get", "items", "keys", "values"}),
    LoopContext: frozenset({
        "changed", "cycle", "depth", "depth0", "first", "index", "index0", "last", "length", "nextitem",
        "previtem", "revindex", "revindex0",
    }),
    BlockReference: frozenset({"super"}),
    Macro: frozenset({"arguments", "caller", "catch_kwargs", "catch_varargs", "name"}),
    Cycler: frozenset({"current", "next", "reset"}),
}  # fmt: skip
"""The attributes that a template may read, by type."""

FILTERS = frozenset({
    "abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape",
    "filesizeformat", "first", "float", "forceescape", "format", "groupby", "indent", "int", "items", "join",
    "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round",
    "safe", "select", "selectattr", "slice", "sort", "string", "sum", "title", "tojson", "trim", "truncate",
    "unique", "upper", "urlencode", "wordcount",
})  # fmt: skip
"""Allowed filters: those of Jinja without random ones, those that build HTML, and those with more than linear time."""

GLOBALS = frozenset({"cycler", "dict", "joiner", "namespace", "range"})

_DATA = (str, list, tuple, dict)
_CALLED = (Macro, BlockReference, LoopContext, Joiner, jinja2.Undefined)


def plain(value: object) -> Plain:
    """Copy a value into plain data of Python's own types; raises TypeError for any other object."""
    if type(value) in (str, int, float, bool, type(None)):  # nearly all are, and need no slower look
        return value  # type: ignore[return-value]
    # A subclass of str could bring methods of its own: `str.__str__` returns a plain copy.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, Mapping):
        return {str.__str__(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    raise TypeError(f"templates get plain data only, not {type(value).__name__}")


class _Local(threading.local):
    """The work of each thread, since several threads may render one template."""

    def __init__(self) -> None:
        self.work = Work()


class _Template(jinja2.Template):
    """A template whose module is made anew for each import: a cached one would keep text of another prompt."""

    def _get_default_module(self, ctx: Any = None) -> Any:
        keys = set() if ctx is None else ctx.globals_keys - self.globals.keys()
        return self.make_module({key: ctx.parent[key] for key in keys})


class Sandbox(ImmutableSandboxedEnvironment):
    """A Jinja environment for untrusted templates; code that parses or renders runs inside `limited()`."""

    template_class = _Template
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, loader: jinja2.BaseLoader) -> None:
        super().__init__(
            loader=loader,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
            finalize=self._charged_text,
            optimized=False,  # the optimizer folds constants once more at each level of a deep template
        )
        self._local = _Local()
        self.globals = {name: value for name, value in self.globals.items() if name in GLOBALS}
        self.filters = {name: self._charged_filter(name, self.filters[name]) for name in FILTERS}
        self.filters |= {COUNTED: self._counted, WEIGHED: self._weighed, JOINED: self._joined, STEPPED: self._charge}
        self._nodes: dict[str | None, int] = {}
        self.filters["attr"] = self._charged_filter("attr", self.getattr)
        self.tests = {name: self._charged_test(test) for name, test in self.tests.items()}

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Allow MAX_STEPS of work in this thread inside the block; beyond them, TooMuchWorkError is raised."""
        self._local.work = Work()
        try:
            yield
        finally:
            self._local.work = Work()

    # -- work

    def _charge(self, steps: int) -> None:
        self._local.work.charge(steps)

    def _weigh(self, value: Any, *, strict: bool = True) -> None:
        """Charge for a value and all that it holds; `strict` raises SecurityError if that is not plain data."""
        work: Work = self._local.work
        steps, foreign = work.weight(value)
        if strict and foreign is not None:
            raise SecurityError(f"a template works with text, numbers, lists and mappings, not {foreign}")
        self._charge(steps)

    def _charged_result(self, value: Any) -> Any:
        """Charge for a result, and return it. The values that it was made of have been charged for."""
        if isinstance(value, str | int):
            self._weigh(value)
        else:
            self._charge(1 + (len(value) if isinstance(value, list) else 0))
        return value

    def _charged_stream(self, values: Iterator[Any]) -> Iterator[Any]:
        for value in values:
            self._weigh(value)
            yield value

    def _charged_argument(self, value: Any) -> Any:
        """Charge for a filter's argument, and return it. An iterator is charged for while it is read."""
        if type(value) not in _DATA and isinstance(value, Iterator) and not isinstance(value, LoopContext):
            return self._charged_stream(value)
        self._weigh(value)
        return value

    def _charged_list(self, value: Any) -> Any:
        """Charge for a value, and return it; an iterator becomes a list."""
        value = self._charged_argument(value)
        return list(value) if type(value) not in _DATA and isinstance(value, Iterator) else value

    def _charged_text(self, value: Any) -> Any:
        """Charge for a value that becomes text; raises UndefinedError for a list that holds an undefined value."""
        if type(value) is str:
            self._weigh(value)
            return value
        value = self._charged_list(value)
        if isinstance(value, list | tuple):
            for item in value:
                self._charged_text(item)
        return str(value) if isinstance(value, jinja2.Undefined) else value

    # -- hooks that `Counting` puts into the parsed template

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        self._nodes[name], depths = check_tree(tree)
        self._charge(5 * depths)  # compiling visits each node once per level above it
        Counting().visit(tree)
        tree.set_environment(self)
        return tree

    def _counted(self, values: Any) -> Any:
        """Charge for all turns of a loop before the first; an iterator is read into a list for that."""
        if isinstance(values, Iterator):
            return list(self._charged_stream(values))
        if isinstance(values, str | list | tuple | dict | range):
            self._charge(len(values))
        elif not isinstance(values, jinja2.Undefined):
            raise SecurityError(f"a template does not loop over {kind_of(values)}")
        return values

    def _weighed(self, value: Any) -> Any:
        self._weigh(value, strict=False)
        return value

    def _joined(self, values: list[Any]) -> str:
        return self.concat([str(self._charged_text(value)) for value in values])

    def concat(self, pieces: Iterable[str]) -> str:
        """Join pieces of text, charging for each before they are joined."""
        kept = []
        for piece in pieces:
            self._weigh(piece)
            kept.append(piece)
        return "".join(kept)

    # -- methods of Jinja's sandbox, with lists of what is allowed

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ARG002 - the name decides
        """Allow the attributes listed for the type, and names that a template has defined itself."""
        if attr.startswith("_"):
            return False
        if isinstance(obj, Namespace):
            return True
        if isinstance(obj, jinja2.environment.TemplateModule):
            return attr in vars(obj)
        if isinstance(obj, tuple) and attr in getattr(obj, "_fields", ()):  # groupby's (grouper, list)
            return True
        return any(isinstance(obj, kind) and attr in names for kind, names in ATTRIBUTES.items())

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a mapping's value, a block of `self` or an allowed attribute; else an Undefined, which raises."""
        self._charge(1)
        if isinstance(obj, jinja2.Undefined):
            obj._fail_with_undefined_error()
        if isinstance(obj, TemplateReference) or (isinstance(obj, dict) and attribute not in ATTRIBUTES[dict]):
            try:
                return obj[attribute]
            except LookupError:
                pass
        if isinstance(obj, str) and attribute == "format":
            hint = 'str.format is unsafe in a template: write "%.2f" % x, not "{:.2f}".format(x)'
            return self.undefined(hint, obj=obj, name=attribute, exc=SecurityError)
        if not self.is_safe_attribute(obj, attribute, None):
            missing = not attribute.startswith("_") and (isinstance(obj, dict) or not hasattr(type(obj), attribute))
            return self.undefined(obj=obj, name=attribute) if missing else self.unsafe_undefined(obj, attribute)
        try:
            return getattr(obj, attribute)
        except AttributeError:
            return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return an item of plain data; else what `getattr` returns."""
        self._weigh(argument, strict=False)
        if isinstance(obj, str | list | tuple | dict | range):
            try:
                return obj[argument]
            except (TypeError, LookupError):
                pass
        if isinstance(argument, str):
            return self.getattr(obj, argument)
        return self.undefined(obj=obj, name=argument)

    def is_safe_callable(self, obj: Any) -> bool:
        """Allow Jinja's own functions, macros and blocks, and the listed methods."""
        if isinstance(obj, _CALLED):
            return True
        if any(obj is function for function in self.globals.values()):
            return True
        if not isinstance(obj, BuiltinMethodType | MethodType):
            return False
        return isinstance(obj.__self__, tuple(ATTRIBUTES)) and self.is_safe_attribute(obj.__self__, obj.__name__, obj)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as jinja2's
        """Call an allowed function; raises SecurityError for any other object."""
        self = __self
        if not self.is_safe_callable(__obj):
            raise SecurityError(f"a template may not call {kind_of(__obj)}")
        self._charge(20)
        owner = __obj.__self__ if isinstance(__obj, BuiltinMethodType | MethodType) else None
        if isinstance(owner, _DATA):
            self._weigh(owner)
            args = tuple(self._charged_list(value) for value in args)
            joins = __obj.__name__ == "join" and args
            given = (args[0], owner) if joins else (owner, *args)
            self._charge(filter_steps(self._local.work, __obj.__name__, given, kwargs))
        elif isinstance(__obj, LoopContext):  # in a recursive loop, `loop(items)` loops over its argument
            args = tuple(self._counted(value) for value in args)
        for value in (*args, *kwargs.values()):
            self._weigh(value, strict=False)
        result = super().call(__context, __obj, *args, **kwargs)
        if isinstance(owner, dict) and not isinstance(result, dict) and isinstance(result, Set | ValuesView):
            result = list(result)  # a view of a dict is not plain data
        return self._charged_result(result)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Apply an operator, after charging for the size of its result."""
        self._weigh(left)
        self._weigh(right)
        self._charge(operator_steps(self._local.work, operator, left, right))
        return self._charged_result(super().call_binop(context, operator, left, right))

    def _load_template(self, name: str, globals: Any) -> jinja2.Template:  # noqa: A002 - as jinja2's
        """Load an included or imported template, charging for it: it may be included in a loop."""
        template = super()._load_template(name, globals)
        self._charge(100 + self._nodes.get(name, 0))
        return template

    def join_path(self, template: str, parent: str) -> str:  # noqa: ARG002 - all lie in one folder
        """Normalise a template's name: else `a//b` and `a/./b` would compile one file many times."""
        return "/".join(split_template_path(template))

    def call_filter(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Apply a filter that a template names as text, as in `map("upper")`."""
        if name not in FILTERS:
            raise jinja2.TemplateRuntimeError(f"no filter named {name!r}")
        return super().call_filter(name, *args, **kwargs)

    # -- filters and tests

    def _charged_filter(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a filter: it takes plain data only, and its arguments and result are charged for."""
        own = 1 if hasattr(function, "jinja_pass_arg") else 0  # Jinja passes these its context first

        @functools.wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            given = [self._charged_argument(value) for value in args[own:]]
            named = {key: self._charged_argument(value) for key, value in kwargs.items()}
            if name == "join" and given:
                given[0] = self._charged_list(given[0])
            if name == "replace" and given and not isinstance(given[0], str):
                given[0] = str(self._charged_text(given[0]))
            self._charge(filter_steps(self._local.work, name, given, named))
            result = function(*args[:own], *given, **named)
            return self._charged_stream(result) if isinstance(result, Iterator) else self._charged_result(result)

        return bounded

    def _charged_test(self, test: Any) -> Any:
        @functools.wraps(test)
        def weighed(*args: Any, **kwargs: Any) -> Any:
            for value in args:
                self._weigh(value, strict=False)
            return test(*args, **kwargs)

        return weighed
