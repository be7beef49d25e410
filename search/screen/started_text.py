"""What is said of a trial when it starts."""

from __future__ import annotations

from collections.abc import Mapping

from search.run.coordinator import Coordinator
from search.screen.params_text import params_text
from search.study.trial import TrialRecord
