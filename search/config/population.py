"""What a search by population based training (`scheduler: pbt`) can do, and what is refused beforehand."""

from __future__ import annotations

from collections.abc import Iterator

from search.config.schema import Pbt, Sections
from search.errors import Problem
from search.space.domains import Choice, Domain, Fixed
from search.space.space import Space
from search.text import nearest, shown

_CHANGING = ("optimizer", "lr_schedule", "loss", "augment", "clip_norm", "ema")
"""Options under `trial:` that a training reads at each step, or that can be set anew in its state."""
_FIXED = {
    "batch_size": "trials are compared and continued step by step, and the position in the data is one of it",
    "accumulate": "trials are compared and continued step by step, and the position in the data is one of it",
    "data": "trials on different data do not compare, and the position in the data is one of these",
}
_NEVER = {
    "seed": "the order of the data follows from it",
    "freeze": "the optimizer's state is of the parameters that are trained",
    "precision": "the state of the scaler is of one precision",
    "discriminator_optimizer": "its state, with its learning rate, is the task's own",
}
"""First keys of what is taken over as it is, and why."""
_RATES = ("drop", "stochastic_depth")
"""Parts of names of a model's options that leave the shapes of its weights as they are."""


def changing_parameters(options: Pbt, space: Space) -> tuple[str, ...]:
    """Names of the parameters that change while trials are trained, in the order of the space."""
    domains = [domain for domain, _ in space.root.domains()]
    if options.hyperparameters is not None:
        return tuple(domain.name for domain in domains if domain.name in options.hyperparameters)
    numbers = (domain for domain in domains if not isinstance(domain, Choice))
    return tuple(d.name for d in numbers if _first(d) in _CHANGING or _is_rate(d))


def population_problems(sections: Sections, space: Space | None, failed: set[str | int]) -> Iterator[Problem]:
    """What is wrong with the options and the space of `scheduler: pbt`; what it does not go with is in the
    table of combinations.

    Args:
        sections: of one search.
        space: that its trials are drawn from; None where that has problems.
        failed: names of sections with problems of their own.
    """
    options = sections.scheduler
    if not isinstance(options, Pbt) or "scheduler" in failed:
        return
    if "budget" not in failed:
        yield from _budget_problems(sections, options)
    if space is not None and "trial" not in failed:
        yield from _space_problems(options, space)


def _budget_problems(sections: Sections, options: Pbt) -> Iterator[Problem]:
    budget = sections.budget
    if budget.trials is not None and budget.trials < 2:
        rule = "is the population of pbt, which must have 2 members at least"
        yield Problem.of(("budget", "trials"), f"received {budget.trials}; {rule}")
    if options.interval >= budget.max_virtual_epochs:
        rule = f"must be less than budget.max_virtual_epochs, which is {budget.max_virtual_epochs}"
        yield Problem.of(("scheduler", "interval"), f"received {options.interval}; {rule}")


def _space_problems(options: Pbt, space: Space) -> Iterator[Problem]:
    domains = {domain.name: domain for domain, _ in space.root.domains()}
    for name, domain in domains.items():
        if _first(domain) in _FIXED:
            rule = f"cannot be searched with pbt, as {_FIXED[_first(domain)]}; give one value"
            yield Problem.of(domain.path, rule, ("trial", name))
    for index, name in enumerate(options.hyperparameters or ()):
        message = _why_not(name, domains)
        if message:
            yield Problem.of(("scheduler", "hyperparameters", index), f"received {shown(name)}; {message}")
    if not changing_parameters(options, space) and not options.hyperparameters:
        rule = f"nothing under {', '.join(_CHANGING)} is a range of numbers, so that nothing could change"
        yield Problem.of(("scheduler", "name"), f"{rule}; name choices in hyperparameters, or take asha")


def _why_not(name: str, domains: dict[str, Domain]) -> str:
    """Why the parameter of this name cannot change while a trial is trained; empty if it can."""
    if name not in domains:
        close = nearest(name, list(domains))
        return "no parameter has this name" + (f"; did you mean {close!r}?" if close else "")
    domain = domains[name]
    if _first(domain) in _NEVER:
        return f"it cannot change while a trial is trained, as {_NEVER[_first(domain)]}"
    if _first(domain) == "model" and not _is_rate(domain):
        return "it cannot change while a trial is trained, as weights would have other shapes"
    if isinstance(domain, Choice) and not all(_is_number(option.node) for option in domain.options):
        return "of choices, only those among numbers can change while a trial is trained"
    return ""


def _is_number(node: object) -> bool:
    value = node.value if isinstance(node, Fixed) else None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _first(domain: Domain) -> str:
    return domain.name.split(".")[0]


def _is_rate(domain: Domain) -> bool:
    return any(part in domain.name.rpartition(".")[2] for part in _RATES) and _first(domain) == "model"
