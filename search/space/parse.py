"""From the `trial:` mapping of a configuration to a tree of domains, with all problems in it."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from search.errors import ConfigError, KeyPath, Problem
from search.space.domains import (
    CONFIDENCES,
    DOMAIN_NAMES,
    Broken,
    Choice,
    Domain,
    Fixed,
    Integer,
    Items,
    Kind,
    Node,
    Option,
    Prior,
    Real,
    Table,
)
from search.space.space import Space
from search.text import MAX_SHOWN, compact, dotted, nearest, shown

_FORMS = {
    "uniform": "[low, high] with low < high",
    "loguniform": "[low, high] with 0 < low < high",
    "quniform": "[low, high, step] with low < high and 0 < step <= high - low",
    "randint": "[low, high] of whole numbers with low < high, both included",
    "lograndint": "[low, high] of whole numbers with 1 <= low < high, both included",
    "choice": "a list of at least one option",
}

PRIOR, CONFIDENCE = "prior", "confidence"
"""What may stand beside the name of a domain."""

MAX_EXACT = 2**53
"""Floats are exact for whole numbers up to this one, and Optuna stores every number as a float."""
MAX_STEPS = 2**50
"""Multiples of a step up to this one stay distinct, whatever the rounding."""
MIN_LOG_RANGE = 1e-9
"""Samplers divide by the difference of two logarithms, which must exceed its rounding error."""


def read_space(tree: Mapping[str, Any], base: KeyPath = ("trial",)) -> tuple[Space, list[Problem]]:
    """The space that a `trial:` mapping describes, and what is wrong in it.

    A domain with a problem becomes null, so that the rest can be checked.

    Args:
        tree: plain values.
        base: where the mapping stands in its document.
    """
    reader = _SpaceReader(base)
    root = reader.read(dict(tree), base, ())
    return Space(root, dict(tree)), reader.problems


def parse_space(tree: Mapping[str, Any]) -> Space:
    """The space that a `trial:` mapping describes, as `read_space`.

    Raises:
        ConfigError: with all problems.
    """
    space, problems = read_space(tree)
    if problems:
        raise ConfigError(problems)
    return space


class _SpaceReader:
    """Reads one tree and collects its problems.

    `path` is where a node stands in the source, `name` its place in a resolved trial with the label of each
    option on the way.

    Args:
        base: where the tree stands in its document.
    """

    def __init__(self, base: KeyPath) -> None:
        self.problems: list[Problem] = []
        self._base = base
        self._names: dict[str, KeyPath] = {}

    def read(self, tree: Any, path: KeyPath, name: KeyPath) -> Node:
        """The node for a tree of plain values."""
        if isinstance(tree, list):
            return Items(path, tuple(self.read(item, (*path, i), (*name, i)) for i, item in enumerate(tree)))
        if not isinstance(tree, dict):
            if tree != tree:
                return self._broken(path, name, "received NaN, which equals nothing; remove it")
            return Fixed(path, tree)
        problem = _near_domain(tree)
        if problem:
            return self._broken(path, name, problem)
        if is_domain(tree):
            return self._domain(tree, path, name)
        items = ((key, self.read(item, (*path, key), (*name, key))) for key, item in tree.items())
        return Table(path, tuple(items))

    def _domain(self, tree: dict[str, Any], path: KeyPath, name: KeyPath) -> Node:
        kind = domain_name(tree)
        arguments = tree[kind]
        if not name:
            return self._broken(path, name, f"cannot be one {kind} as a whole; put domains at keys under it")
        if dotted(name) in self._names:
            other = dotted(self._names[dotted(name)])
            return self._broken(
                path, name, f"two parameters have this name, the other is at {other}; rename one"
            )
        self._names[dotted(name)] = path
        if kind == "choice":
            return self._with_prior(self._choice(arguments, path, name), tree, path, name)
        problem = _wrong_arguments(kind, arguments)
        if problem:
            return self._broken(path, name, problem)
        domain = _number(kind, arguments, path, dotted(name))
        return self._with_prior(domain, tree, path, name)

    def _with_prior(self, node: Node, tree: dict[str, Any], path: KeyPath, name: KeyPath) -> Node:
        """The domain with the prior that stands beside it; without one that is wrong."""
        if not isinstance(node, Domain):
            return node
        problems = list(_wrong_prior(node, tree))
        for key, message in problems:
            self._report((*path, key), (*name, key), message)
        if problems or PRIOR not in tree:
            return node
        value, confidence = tree[PRIOR], tree.get(CONFIDENCE, "medium")
        if isinstance(node, Choice):
            return replace(node, prior=Prior(_label_of(node, tree["choice"], value), confidence))
        return replace(node, prior=Prior(node.rounded(value), confidence))

    def _choice(self, options: Any, path: KeyPath, name: KeyPath) -> Node:
        if not isinstance(options, list) or not options:
            return self._broken(path, name, f"received {shown(options)}; choice needs {_FORMS['choice']}")
        labels = _labels(options)
        read: list[Option] = []
        broken = any(option != option for option in options)  # NaN
        for index, option in enumerate(options):
            part = labels[index] if isinstance(option, dict) else str(index)
            node = self.read(option, (*path, "choice", index), (*name, part))
            same = (i for i in range(index) if options[i] == option or labels[i] == labels[index])
            first = next(same, None)
            if first is not None:
                broken = True
                message = f"option {index + 1} of the choice, {shown(option)}, repeats option {first + 1}"
                self._report((*path, "choice", index), name, f"{message}, {shown(options[first])}")
            read.append(Option(labels[index], node))
        return Broken(path) if broken else Choice(dotted(name), path, tuple(read))

    def _broken(self, path: KeyPath, name: KeyPath, message: str) -> Broken:
        self._report(path, name, message)
        return Broken(path)

    def _report(self, path: KeyPath, name: KeyPath, message: str) -> None:
        self.problems.append(Problem.of(path, message, (*self._base, *name)))


def is_domain(tree: Any) -> bool:
    """Whether this is a mapping with one key that names a domain, and perhaps its prior."""
    if not isinstance(tree, dict):
        return False
    named = [key for key in tree if key in DOMAIN_NAMES]
    return len(named) == 1 and all(key in (PRIOR, CONFIDENCE) for key in tree if key != named[0])


def domain_name(tree: Mapping[str, Any]) -> Kind:
    """The key of a domain that names it."""
    return next(kind for kind in DOMAIN_NAMES if kind in tree)


def _near_domain(tree: dict[str, Any]) -> str | None:
    """What is wrong with a mapping that was probably meant as a domain."""
    if not any(key in DOMAIN_NAMES for key in tree) and PRIOR in tree and tree.get(CONFIDENCE) in CONFIDENCES:
        return f"received prior {shown(tree[PRIOR])} without a domain that it is of; {_PRIOR_FORM}"
    beside = [key for key in tree if key in (PRIOR, CONFIDENCE)]
    for key, value in tree.items():
        if not isinstance(value, list):
            continue
        if key in DOMAIN_NAMES:
            others = [other for other in tree if other != key and other not in beside]
            meant = (nearest(other, (PRIOR, CONFIDENCE), cutoff=0.75) for other in others)
            hint = next((f"; did you mean {word!r}?" for word in meant if word is not None), "")
            if others:
                names = ", ".join(map(repr, others))
                return f"{key} must stand alone in its mapping, received also {names}{hint}"
        close = nearest(key, DOMAIN_NAMES, cutoff=0.75)
        if len(tree) == 1 + len(beside) and key not in DOMAIN_NAMES and close is not None:
            return f"unknown domain {key!r}; did you mean {close!r}? known: {', '.join(DOMAIN_NAMES)}"
    return None


_PRIOR_FORM = "write {loguniform: [low, high], prior: VALUE}, or the value alone"


def _wrong_prior(domain: Domain, tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with the prior beside a domain, and at which key."""
    confidence = tree.get(CONFIDENCE, "medium")
    if CONFIDENCE in tree and PRIOR not in tree:
        way_out = "write prior: VALUE beside it, what you think is best, or remove it"
        yield CONFIDENCE, f"received {shown(confidence)} without a prior; {way_out}"
    elif not isinstance(confidence, str) or confidence not in CONFIDENCES:
        close = nearest(confidence, CONFIDENCES) if isinstance(confidence, str) else None
        hint = f"; did you mean {close!r}?" if close else ""
        yield CONFIDENCE, f"received {shown(confidence)}; must be low, medium or high{hint}"
    if PRIOR not in tree:
        return
    value = tree[PRIOR]
    if isinstance(domain, Choice):
        if _label_of(domain, tree["choice"], value) is _NO_LABEL:
            yield (
                PRIOR,
                f"received {shown(value)}; must be one of the options, {domain}{_name_hint(domain, value)}",
            )
    elif isinstance(value, str) and _is_number(value):
        yield PRIOR, f"received the text {value!r}; must be a number; write {value} without quotes"
    elif not domain.contains(value):
        yield PRIOR, f"received {shown(value)}, which is not in {domain}; {_nearest_prior(domain, value)}"


def _name_hint(choice: Choice, value: Any) -> str:
    """The way out of a prior that says more of an option than its name."""
    if not isinstance(value, dict) or value.get("name") not in choice.labels:
        return ""
    return f"; write prior: {value['name']}, and beside each domain in that option a prior of its own"


def _nearest_prior(domain: Real | Integer, value: Any) -> str:
    """The way out of a prior that is no value of its range."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "must be a number of the range"
    low, high = domain.bounds
    if low <= value <= high:  # between two steps, or two whole numbers
        step = Fraction(repr(domain.step)) if isinstance(domain, Real) else Fraction(1)
        index = round((Fraction(repr(value)) - Fraction(repr(domain.low))) / step)
        near = domain.at(index) if isinstance(domain, Real) else domain.low + index
        return f"the nearest of its values is {near}"
    return "take one between the bounds, or widen the range"


_NO_LABEL = object()


def _label_of(choice: Choice, options: list[Any], value: Any) -> Any:
    """The label of the option that was named, or is equal to what was given; _NO_LABEL if there is none.

    A mapping of nothing but a name, as `{name: adamw}`, names its option too.
    """
    labels = choice.labels
    if isinstance(value, dict) and [*value] == ["name"]:
        pairs = zip(labels, options, strict=True)
        named = [
            label
            for label, option in pairs
            if isinstance(option, dict) and option.get("name") == value["name"]
        ]
        return named[0] if len(named) == 1 else _NO_LABEL
    if not isinstance(value, dict | list) and value in labels:
        return labels[labels.index(value)]
    return labels[options.index(value)] if value in options else _NO_LABEL


def _labels(options: list[Any]) -> list[Any]:
    """A scalar is its own label, a list its JSON text, a mapping its name or else its index."""
    names = [option.get("name") if isinstance(option, dict) else None for option in options]
    named = all(map(_is_short_name, names)) and len(set(names)) == len(names)
    labels: list[Any] = []
    for index, option in enumerate(options):
        if isinstance(option, dict):
            labels.append(names[index] if named else str(index))
        else:
            labels.append(compact(option) if isinstance(option, list) else option)
    return labels


def _is_short_name(name: Any) -> bool:
    """Parameters may be named after it: in messages, tables and TensorBoard."""
    return isinstance(name, str) and 0 < len(name) <= MAX_SHOWN and name.isprintable()


def _wrong_arguments(kind: str, arguments: Any) -> str | None:
    """What is wrong with the bounds of a range."""
    rule = f"{kind} needs {_FORMS[kind]}"
    size = 3 if kind == "quniform" else 2
    if not isinstance(arguments, list) or len(arguments) != size:
        return f"received {shown(arguments)}; {rule}"
    whole = kind in ("randint", "lograndint")
    for value in arguments:
        if isinstance(value, str) and _is_number(value):
            return f"received the text {value!r}; {rule}; write {value} without quotes"
        number = isinstance(value, int) if whole else isinstance(value, int | float)
        if not number or isinstance(value, bool) or not abs(value) <= sys.float_info.max:
            return f"received {shown(value)} in {shown(arguments)}; {rule}"
    # As floats, which is what Optuna keeps.
    low, high, *step = [Fraction(repr(value if whole else float(value))) for value in arguments]
    lowest_allowed = {"loguniform": low > 0, "lograndint": low >= 1}.get(kind, True)
    if low >= high or not lowest_allowed or (step and not 0 < step[0] <= high - low):
        return f"received {shown(arguments)}; {rule}"
    limit = _beyond_floats(kind, arguments)
    return f"received {shown(arguments)}; {limit}" if limit else None


def _beyond_floats(kind: str, arguments: list[Any]) -> str | None:
    """The limit of floats that a range exceeds, if so."""
    low, high, *step = map(float, arguments)
    largest = max(abs(arguments[0]), abs(arguments[1]))
    whole = isinstance(arguments[0], int) and isinstance(arguments[-1], int)
    if whole and kind in ("randint", "lograndint", "quniform") and largest > MAX_EXACT:
        return f"whole numbers may be at most {MAX_EXACT}"
    if step and largest > step[0] * MAX_STEPS:
        return f"the bounds may be at most {MAX_STEPS} steps from 0"
    if not math.isfinite(high - low + sum(step)):
        return "the range is wider than the largest number"
    if kind in ("loguniform", "lograndint") and high < low * (1 + MIN_LOG_RANGE):
        return f"high must be larger than low by at least {MIN_LOG_RANGE:g} of it, or take uniform or randint"
    return None


def _number(kind: Kind, arguments: list[Any], path: KeyPath, name: str) -> Real | Integer:
    if kind in ("randint", "lograndint"):
        return Integer(name, path, kind, arguments[0], arguments[1])
    low, high = float(arguments[0]), float(arguments[1])
    if kind != "quniform":
        return Real(name, path, kind, low, high)
    step = float(arguments[2])
    exact_low, exact_high, exact_step = (Fraction(repr(number)) for number in (low, high, step))
    last = exact_low + (exact_high - exact_low) // exact_step * exact_step
    integral = isinstance(arguments[0], int) and isinstance(arguments[2], int)
    return Real(name, path, kind, low, float(last), step, integral)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
