"""Which trials are let through to full length, so that early values can be compared with late ones."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from search.config.config import Config
from search.study.trial import TrialRecord

_WORD = zlib.crc32(b"audit")


def is_audited(records: Sequence[TrialRecord], config: Config, trials: int | None) -> bool:
    """Whether the next trial is let through, whatever its values will be.

    Selection sampling (Knuth, The Art of Computer Programming 3.4.2, algorithm S): of the trials that are
    still to come, each is as likely, and in the end there are `audit` of them, also where the search has
    grown meanwhile. A function of the study and the seed alone.

    Args:
        records: the trials so far.
        config: says how many are let through (`scheduler.audit`), and the seed.
        trials: of the whole search; None where that is open, and then the next ones are taken.
    """
    if not config.scheduler.audit:
        return False
    missing = config.scheduler.audit - sum(record.audited for record in records)
    if missing <= 0:
        return False
    number = len(records)
    to_come = missing if trials is None else max(missing, trials - number)
    return bool(np.random.default_rng([config.sampler.seed, number, _WORD, 1]).random() * to_come < missing)
