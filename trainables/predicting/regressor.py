"""Regression: the value of rows of a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from trainables.predicting.model import ExportedModel
from trainables.predicting.rows import as_rows


class Regressor(ExportedModel):
    """Predicts one number for each row, in the target's own units."""

    def predict(self, rows: Any) -> np.ndarray:
        """float32 [N], or without dimensions of one row.

        Args:
            rows: as `as_rows` takes them.

        Raises:
            ValueError: they are other than those of the training.
        """
        assert self.inference.rows is not None
        encoded, alone = as_rows(rows, self.inference.rows)
        found = self.of_rows(encoded)
        return found[0] if alone else found

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        """float32 [N] of encoded rows float32 [N, F]."""
        target = self.inference.target
        assert target is not None
        outputs = self.outputs(torch.from_numpy(rows), (1,))
        values = (outputs.float() * target.std + target.mean)[:, 0]
        self.refuse_no_numbers(values)
        return values.cpu().numpy()
