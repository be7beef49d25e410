"""`tune-search log RUN --to NAME` that is killed right after it has written for the Nth time.

python killed_logger.py N RUN NAME ADDRESS
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import search


def main(number: int, run: str, to: str, address: str | None) -> None:
    left = number

    def killing(write: Callable[..., Any]) -> Callable[..., Any]:
        def written(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            result = write(*arguments, **named)
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return written

    if to == "mlflow":
        from mlflow.tracking import MlflowClient

        MlflowClient.log_batch = killing(MlflowClient.log_batch)
    elif to == "trackio":
        from trackio import SQLiteStorage

        SQLiteStorage.bulk_log = staticmethod(killing(SQLiteStorage.bulk_log))
    else:
        from wandb.sdk.wandb_run import Run

        Run.log = killing(Run.log)
    search.log(run, to, tracking_uri=address, project=f"killed-{number}")


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:4], sys.argv[4] if len(sys.argv) > 4 else None)
