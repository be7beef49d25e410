"""Which scale of scores the samplers of a study learn from."""

from __future__ import annotations

from search.study.study import SearchStudy

_KEY, _FIRST = "scores", "halving"


def scores_began_with(study: SearchStudy, default: str) -> str:
    """The scale that the study began with: `default` if it is new.

    A later default thus does not change what a run that has begun decides. A study with trials that names
    none is of a program that knew halving scores alone.
    """
    if _KEY not in study.study.user_attrs and not study.records and default != _FIRST:
        study.study.set_user_attr(_KEY, default)
    return str(study.study.user_attrs.get(_KEY, _FIRST))
