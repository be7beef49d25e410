"""docs/augmentation.md says what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from search.config.stages import load_config
from trainables.images.augmentation.options import JointAugmentOptions, SometimesOptions

DOCS = (Path(__file__).parents[2] / "docs/augmentation.md").read_text(encoding="utf-8")


def test_the_documentation_names_every_option_with_its_own_keys_and_an_example_that_is_right(
    tmp_path: Path,
) -> None:
    table: dict[str, str] = {}
    for line in DOCS.splitlines():
        if line.startswith("| `"):
            table |= dict.fromkeys(re.findall(r"`(\w+)`", line.split("|")[1]), line)
    assert set(table) == set(JointAugmentOptions.model_fields)
    for name, field in JointAugmentOptions.model_fields.items():
        own = next(iter(get_args(field.annotation)), None)
        is_one = isinstance(own, type) and issubclass(own, SometimesOptions)
        for key, value in own.model_fields.items() if is_one else ():
            assert f"`{key}`" in table[name]
            assert key == "classes" or f"({value.default:g})" in table[name]
    example = DOCS.partition("```yaml\n")[2].partition("```")[0]
    rest = "task: segmentation\nobjective: {metric: miou, mode: max}\nvirtual_epoch: {steps: 20}\n"
    (tmp_path / "example.yaml").write_text(example + rest)
    assert load_config(tmp_path / "example.yaml").first.space.candidates()
