"""What `resources.where` says against the space of a search: which sizes trials have, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from search.config.followed import AT_LEAST, is_option, least_of, option_text, values_of
from search.config.population import changing_parameters
from search.config.resources import Resources
from search.config.schema import Pbt, Sections
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
    domain = next((domain for domain, _ in space.root.domains() if domain.name == name), None)
    found = [value for trial in space.candidates() for value in values_of(trial.options, name)]
    if domain is None and not found:
        known = list(space.names)
        close = nearest(name, known)
        hint = f"; did you mean {close!r}?" if close else f"; there are {', '.join(known)}" if known else ""
        yield Problem.of(at, f"no parameter has this name, nor a value under trial:{hint}")
    elif domain is not None and not found:
        yield Problem.of(at, "cannot be followed, as its options have no names; give each a `name`")
    elif isinstance(sections.scheduler, Pbt) and name in changing_parameters(sections.scheduler, space):
        yield Problem.of(at, _PBT)
    elif domain is not None:
        for option in sections.resources.where[name]:
            if message := _wrong_option(option, domain, found):
                yield Problem.of((*at, option), f"received {option!r}; {message}")


def _wrong_option(option: str, domain: Domain, found: list[object]) -> str:
    """Why no trial has this entry of a parameter that is searched; empty if some may have it."""
    least = least_of(option)
    if isinstance(domain, Choice):
        known = [each.label for each in domain.options] + found
        if any(is_option(option, value) for value in known):
            return ""
        numbers = [v for v in known if isinstance(v, int | float) and not isinstance(v, bool)]
        if least is not None and numbers:
            return "" if least <= max(numbers) else f"no option is so large: {domain}"
        close = nearest(option, map(option_text, known))
        return f"must be one of the options, {domain}" + (f"; did you mean {close!r}?" if close else "")
    high = domain.bounds[1]
    if least is None:
        return f"of a range of numbers an entry is `{AT_LEAST}NUMBER`, such as `{AT_LEAST}{shown(high)}`"
    return "" if least <= high else f"no trial has it, as the range is {domain}"
