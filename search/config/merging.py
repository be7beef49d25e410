"""One configuration over another: of a stage over the whole, of a file over its base."""

from __future__ import annotations

from typing import Any

from search.config.schema import DEFAULT_SCHEDULER
from search.errors import KeyPath
from search.space.parse import is_domain


def merged(base: Any, over: Any) -> Any:
    """`over` merged over `base`: mappings key by key, all else, domains too, replaces."""
    return merge(base, over, (), (), {})


def merge(base: Any, over: Any, path: KeyPath, source: KeyPath, origins: dict[KeyPath, KeyPath]) -> Any:
    """Fills `origins` with where each value that is taken from `over` stands."""
    mappings = isinstance(base, dict) and isinstance(over, dict)
    # Another scheduler has other options.
    named = base.get("name", DEFAULT_SCHEDULER) if mappings else None
    other = path == ("scheduler",) and mappings and over.get("name", named) != named
    if not mappings or is_domain(base) or is_domain(over) or other:
        for known in [known for known in origins if known[: len(path)] == path]:
            del origins[known]
        origins[path] = source
        return over
    joined = dict(base)
    for key, value in over.items():
        joined[key] = merge(base.get(key), value, (*path, key), (*source, key), origins)
    return joined
