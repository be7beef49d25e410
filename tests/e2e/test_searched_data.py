"""A search over data: what becomes of a model when its own data change, or only others'."""

from __future__ import annotations

from pathlib import Path

import pytest
from changing_data import images_config, make_images
from in_process import search_locally

import search
from search.run.data.record import DataChangedError


@pytest.mark.parametrize("own", [True, False])
def test_a_retraining_is_refused_where_the_data_of_its_own_model_have_changed(
    tmp_path: Path, own: bool
) -> None:
    roots = [tmp_path / "a", tmp_path / "b"]
    for root in roots:
        make_images(root, 0, 16)
    config = images_config(roots[0])
    config["trial"]["data"]["root"] = {"choice": [str(root) for root in roots]}
    run = Path(search_locally(config, results=tmp_path / "results").folder)
    exported = search.export(run)
    used = next(root for root in roots if str(root) in (exported.folder / "config.yaml").read_text())
    make_images(used if own else next(root for root in roots if root != used), 16, 20)
    if not own:
        assert search.retrain(exported.folder).export is not None
        return
    with pytest.raises(DataChangedError, match=r"training images: \d+ added"):
        search.retrain(exported.folder)
    assert search.retrain(exported.folder, accept_new_data=True).export is not None
