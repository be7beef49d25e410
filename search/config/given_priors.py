"""Puts priors beside the domains of a configuration: those of a former run, a recipe, or its own run."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from search.config.document import Document
from search.errors import KeyPath
from search.space.domains import Confidence, Domain
from search.space.offers import SEARCHED, Offer, offers
from search.space.parse import CONFIDENCE, PRIOR, is_domain, read_space
from search.text import value_at, value_text
from trainables.options import OptimizerOptions, ScheduleOptions

DEFAULT_NAMES: Mapping[str, str] = {
    "optimizer": OptimizerOptions().name,
    "lr_schedule": ScheduleOptions().name,
}
"""Of mappings of a trial that may lack `name`."""


class Source(NamedTuple):
    """Something that has values for domains."""

    name: str
    """For messages, such as `results/seg, trial 7`."""
    options: Sequence[tuple[Mapping[str, Any], Confidence]]
    """Parts of a trial; of the first one that has a value for a domain it is taken."""


class Taken(NamedTuple):
    """The prior of one domain."""

    path: KeyPath
    """Of the domain in the document."""
    value: Any
    confidence: Confidence


def with_priors(document: Document, sources: Sequence[Source]) -> tuple[Document, list[str]]:
    """The document with priors beside its domains and without `priors:`; and what was taken, in lines.

    A prior that is written stays, an earlier source goes before a later one, and a value outside of its
    domain is told and left out.
    """
    lines: list[str] = []
    written = dict.fromkeys(domain.name for _, domain in _domains(document) if domain.prior is not None)
    if written:
        lines.append(f"priors that are written stay: {', '.join(written)}")
    for source in sources:
        found = list(_found(document, source))
        document = _with(document, [each for each in found if isinstance(each, Taken)])
        lines += _lines(document, source, found)
    return replace(document, tree={k: v for k, v in document.tree.items() if k != "priors"}), lines


def with_recorded(document: Document, recorded: Mapping[str, Any]) -> tuple[Document, list[str]]:
    """The document with the priors in config.yaml of the same search, and domains that were others there."""
    taken: list[Taken] = []
    other: list[str] = []
    for path, domain in _domains(document):
        before = value_at(recorded, path)
        now = value_at(document.tree, path)
        if domain.prior is not None:
            continue
        if not is_domain(before) or _without_priors(before) != _without_priors(now):
            other.append(domain.name)
        elif PRIOR in before:
            taken.append(Taken(path, before[PRIOR], before.get(CONFIDENCE, "medium")))
    document = _with(document, taken)
    return replace(document, tree={k: v for k, v in document.tree.items() if k != "priors"}), other


def _without_priors(tree: Any) -> Any:
    """The tree with its domains alone."""
    if isinstance(tree, list):
        return [_without_priors(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    left_out = (PRIOR, CONFIDENCE) if is_domain(tree) else ()
    return {key: _without_priors(item) for key, item in tree.items() if key not in left_out}


def _domains(document: Document) -> Iterator[tuple[KeyPath, Domain]]:
    """Every domain of the trial and of the stages' own parts of it, with its path in the document."""
    for base, tree in _trees(document):
        for domain, _ in read_space(tree, base)[0].root.domains():
            yield domain.path, domain


def _trees(document: Document) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    stages = document.tree.get("stages") or ()
    for base in (("trial",), *(("stages", number, "trial") for number in range(len(stages)))):
        tree = value_at(document.tree, base)
        if isinstance(tree, dict):
            yield base, tree


def _found(document: Document, source: Source) -> Iterator[Taken | Offer]:
    """What a source has for the domains without a prior; of one that it has nothing for, the reason."""
    names = dict(DEFAULT_NAMES)
    for base, tree in _trees(document):
        root = read_space(tree, base)[0].root
        of_parts = [list(offers(root, part, DEFAULT_NAMES, names)) for part, _ in source.options]
        names |= _names(tree)
        for several in zip(*of_parts, strict=True):
            domain = several[0].domain
            if domain.prior is not None:
                continue
            with_confidence = zip(several, (confidence for _, confidence in source.options), strict=True)
            first = next(((offer, sure) for offer, sure in with_confidence if not offer.against), None)
            if first is None:
                yield next((offer for offer in several if offer.is_known), several[0])
            else:
                yield Taken(domain.path, first[0].value, first[1])


def _names(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What `name` is in the mappings of a trial that later stages write other values into."""
    for key in DEFAULT_NAMES:
        given = tree.get(key)
        name = given.get("name") if isinstance(given, dict) else None
        if is_domain(given) or is_domain(name):
            yield key, SEARCHED
        elif isinstance(name, str):
            yield key, name


def _with(document: Document, taken: Sequence[Taken]) -> Document:
    tree = copy.deepcopy(document.tree)
    for path, value, confidence in taken:
        value_at(tree, path).update({PRIOR: value, CONFIDENCE: confidence})
    return replace(document, tree=tree)


def _lines(document: Document, source: Source, found: Sequence[Taken | Offer]) -> Iterator[str]:
    names = {path: domain.name for path, domain in _domains(document)}
    taken = [
        f"{names[each.path]} {value_text(each.value)} ({each.confidence})"
        for each in found
        if isinstance(each, Taken)
    ]
    left_out = [f"{each.domain.name} ({each.against})" for each in found if isinstance(each, Offer)]
    yield f"priors from {source.name}: {', '.join(dict.fromkeys(taken)) or 'none'}"
    if left_out:
        yield f"no prior from {source.name}: {', '.join(dict.fromkeys(left_out))}"
