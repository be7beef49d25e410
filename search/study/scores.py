"""What the samplers of a study began to learn by, which a later default does not change."""

from __future__ import annotations

from search.study.study import SearchStudy


def began_with(study: SearchStudy, name: str, default: str, *, first: str) -> str:
    """What the study began with under that name: `default` if it is new.

    Args:
        study: of the search.
        name: of the attribute of the study.
        default: of new studies; noted in the study where it is another than the first one.
        first: of the studies in which nothing is noted, which knew no other.
    """
    if name not in study.study.user_attrs and not study.records and default != first:
        study.study.set_user_attr(name, default)
    return str(study.study.user_attrs.get(name, first))
