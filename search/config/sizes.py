"""What `resources.where` says against the space of a search: which sizes trials have, and what is wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from search.config.population import changing_parameters
from search.config.schema import Pbt, Sections
from search.config.sections.followed import AT_LEAST, is_option, least_of, option_text, values_of
from search.config.sections.resources import Resources
from search.errors import KeyPath, Problem
from search.space.domains import Choice, Domain, Integer, Real
from search.space.space import Space
from search.text import nearest, shown

_PBT = (
    "changes while a trial is trained (scheduler: pbt), and a trial's resources cannot; follow another "
    "parameter, or name those that change in scheduler.hyperparameters"
)


def narrowed(resources: Resources, space: Space) -> Resources:
    """The resources with the sizes that trials of the space have."""
    if not resources.where:
        return resources
    domains = {domain.name: domain for domain, _ in space.root.domains()}
    further = [
        (name, option)
        for name, options in resources.where.items()
        for option in options
        if isinstance(domain := domains.get(name), Real | Integer)
        and (least := least_of(option)) is not None
        and domain.bounds[0] < least <= domain.bounds[1]
    ]
    return resources.narrowed((trial.options for trial in space.candidates()), further)


def size_problems(sections: Sections, space: Space, failed: set[str | int]) -> Iterator[Problem]:
    """What is wrong with what a trial takes, of all trials or of those with an option.

    Args:
        sections: of one search.
        space: that its trials are drawn from.
        failed: names of sections with problems of their own.
    """
    resources = sections.resources
    if "resources" in failed:
        return
    key, message = resources.problem()
    if key == "accelerator":  # the rest is said by the section itself
        yield Problem.of(("resources", key), message)
    for name, options in resources.where.items():
        at: KeyPath = ("resources", "where", name)
        if "trial" not in failed:
            yield from _problems_of_name(sections, space, name, at)
        for option in options:
            key, message = resources.with_entry(name, option).resources.problem()
            if key:
                yield Problem.of((*at, option), f"{key}: {message}")


def _problems_of_name(sections: Sections, space: Space, name: str, at: KeyPath) -> Iterator[Problem]:
    domain, found = _values(space, name)
    if domain is not None and not found:
        yield Problem.of(at, "cannot be followed, as its options have no names; give each a `name`")
    elif isinstance(sections.scheduler, Pbt) and name in changing_parameters(sections.scheduler, space):
        yield Problem.of(at, _PBT)
    seen: list[str] = []
    for option in sections.resources.where[name]:
        same = next((other for other in seen if _are_one(option, other, found)), None)
        if same is not None:
            message = f"received {option!r} and {same!r}, which are the same option; remove one"
            yield Problem.of((*at, option), message)
        seen.append(option)


def _are_one(option: str, other: str, found: Sequence[object]) -> bool:
    """Whether both entries are about the same trials, so that one of them counts for nothing."""
    least = least_of(option)
    if least is not None:
        return least == least_of(other)
    return any(is_option(option, value) and is_option(other, value) for value in found)


Entry = tuple[str, str]
"""Of `resources.where`: a parameter, and the option."""


def absent_entries(sections: Sections, space: Space, failed: set[str | int]) -> dict[Entry, Problem | None]:
    """The entries of `resources.where` that no trial of the space has, each with what is wrong about it.

    None of a value that is not searched: where it was, there may be trials with others.
    """
    found: dict[Entry, Problem | None] = {}
    if failed & {"resources", "trial"}:
        return found
    for name, options in sections.resources.where.items():
        at: KeyPath = ("resources", "where", name)
        domain, values = _values(space, name)
        if domain is None and not values:
            unknown = _unknown_name(space, at)
            found |= {(name, option): unknown for option in options}
        for option in options if values else ():
            message = _wrong_option(option, domain, values)
            if message is not None:
                wrong = Problem.of((*at, option), f"received {option!r}; {message}")
                found[name, option] = wrong if message else None
    return found


def wrong_in_all(stages: Sequence[Mapping[Entry, Problem | None]]) -> Iterator[Problem]:
    """What is wrong about the entries that are absent in every one of these readings of a configuration."""
    for entry in stages[0]:
        if all(entry in absent for absent in stages):
            problems = [problem for absent in stages if (problem := absent[entry]) is not None]
            # Where the parameter is known, the message has its options.
            yield from sorted(problems, key=lambda problem: -len(problem.at or ()))[:1]


def without_entries(tree: Mapping[str, Any], entries: Collection[Entry]) -> dict[str, Any]:
    """A configuration as written, without these entries of `resources.where`."""
    resources = tree.get("resources")
    if not entries or not isinstance(resources, Mapping):
        return dict(tree)
    where = {
        name: {option: size for option, size in options.items() if (name, str(option)) not in entries}
        for name, options in resources.get("where", {}).items()
    }
    kept = {name: options for name, options in where.items() if options}
    return {**tree, "resources": {**resources, "where": kept}}


def notes_of_unused(stages: Iterable[Resources]) -> list[str]:
    """A line for each entry that no trial of any stage has."""
    found = list(stages)
    used = {entry for resources in found for entry in resources.used}
    entries = {(name, option) for each in found for name, given in each.where.items() for option in given}
    return [
        f"resources.where, {name} {option}: no trial of this configuration has it"
        for name, option in sorted(entries - used)
    ]


def _values(space: Space, name: str) -> tuple[Domain | None, list[object]]:
    """The domain of this name, if it is searched, and the values that it has in trials."""
    domain = next((domain for domain, _ in space.root.domains() if domain.name == name), None)
    return domain, [value for trial in space.candidates() for value in values_of(trial.options, name)]


def _unknown_name(space: Space, at: KeyPath) -> Problem:
    known = list(space.names)
    close = nearest(str(at[-1]), known)
    hint = f"; did you mean {close!r}?" if close else f"; there are {', '.join(known)}" if known else ""
    return Problem.of(at, f"no parameter has this name, nor a value under trial:{hint}")


def _wrong_option(option: str, domain: Domain | None, found: Sequence[object]) -> str | None:
    """Why no trial has this entry of a parameter; empty if its value is fixed, None if some may have it."""
    least = least_of(option)
    if domain is None or isinstance(domain, Choice):
        known = [*(each.label for each in domain.options), *found] if domain is not None else [*found]
        numbers = [v for v in known if isinstance(v, int | float) and not isinstance(v, bool)]
        reached = least is not None and any(number >= least for number in numbers)
        if reached or any(is_option(option, value) for value in known):
            return None
        if least is None and option.startswith(AT_LEAST.strip()):
            example = shown(max(numbers, default=64))
            return f"is written `{AT_LEAST}NUMBER`, such as `{AT_LEAST}{example}`"
        if domain is None:
            return ""
        if least is not None and numbers:
            return f"no option is so large: {domain}"
        close = nearest(option, map(option_text, known))
        return f"must be one of the options, {domain}" + (f"; did you mean {close!r}?" if close else "")
    high = domain.bounds[1]
    if least is None:
        return f"of a range of numbers an entry is `{AT_LEAST}NUMBER`, such as `{AT_LEAST}{shown(high)}`"
    return None if least <= high else f"no trial has it, as the range is {domain}"
