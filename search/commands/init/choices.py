"""The values of a first configuration, chosen from what some samples hold; each with its reason."""

from __future__ import annotations

from search.commands.init.line import Line
from search.commands.init.look import Looked, side_of, sizes_text
from search.commands.init.recognized import Recognized
from search.commands.init.text import flow
from search.text import counted

CROPS = (512, 384, 256, 192, 128, 96, 64, 32)
_SMALL = 256
"""Sides up to which images of one size are trained whole."""
_WINDOW_PIXELS = 2**22
"""Of an image that is too large to be predicted whole."""
_RARE = 0.1
"""Share of what the class would have if all were equal, below which it counts as rare."""
_STEPS = (20, 200)
"""Least and most optimizer steps of a virtual epoch."""


def lines_of(looked: Looked, *, gpu: bool) -> list[Line]:
    """All lines below `task:`."""
    build = {"masks": _of_masks, "classes": _of_classes, "table": _of_table}[looked.recognized.kind]
    objective, trial, batch_size, batch_why = build(looked)
    samples = looked.found.parts["train"].of_samples
    batch = min(batch_size, _at_most(samples))
    virtual, why = _virtual_epoch(samples, batch)
    is_table = looked.recognized.kind == "table"
    batch_line = f"batch_size: {batch}"
    if batch >= 16:
        batch_line = f"batch_size: {{choice: [{batch // 2}, {batch}]}}"
    gpus = ", gpus_per_trial: 1" if gpu and not is_table else ""
    return [
        objective,
        Line("trial:"),
        *(Line(line.text, line.why, line.depth + 1) for line in trial),
        Line("lr_schedule: {name: cosine, warmup: 0.05}", depth=1),
        Line(batch_line, batch_why if batch == batch_size else f"there are {counted(samples, 'sample')}", 1),
        Line(virtual, why),
        Line(f"budget: {{trials: 24, max_virtual_epochs: 27, time: {'30m' if is_table else '4h'}}}",
             "ends at the first of these"),
        Line("sampler: {name: tpe, seed: 0}"),
        Line("scheduler: {name: asha, reduction_factor: 3}", "most trials end early"),
        Line(f"resources: {{cpus_per_trial: 1{gpus}}}", "this machine has a GPU" if gpus else ""),
    ]  # fmt: skip


_Choice = tuple[Line, list[Line], int, str]
"""The objective, the lines of `trial:`, the batch size, and why."""


def _of_masks(looked: Looked) -> _Choice:
    found, data = looked.found, looked.recognized.data
    crop, why = _crop(looked)
    side = crop or max(found.parts["train"].sizes["max"])
    depths = "[3, 4]" if side >= 256 else "[2, 3]" if side >= 64 else "[1, 2]"
    batch = 16 if side <= 128 else 8 if side <= 256 else 4
    augment = "horizontal_flip: {choice: [0.0, 0.5]}"
    if crop:
        augment = f"crop: {crop}, {augment}"
        flip_why = f"{why}; keep the flip at 0 if left and right differ"
    else:
        flip_why = "keep it at 0 if left and right differ"
    rare = _rare(looked)
    loss = [Line("loss:")]
    if rare:
        loss.append(Line("class_weights: {choice: [none, median_frequency]}", rare, 1))
    loss.append(Line("dice: {choice: [0.0, 0.5, 1.0]}", "added to the cross-entropy", 1))
    lines = [
        *_data(looked.recognized),
        Line(f"model: {{name: unet, width: {{choice: [16, 32]}}, depth: {{choice: {depths}}}}}"),
        *loss,
        Line(f"augment: {{{augment}}}", flip_why),
        _optimizer("1e-4, 1e-2"),
    ]
    width, height = found.parts["valid"].sizes["max"]
    if width * height > _WINDOW_PIXELS and data["source"] != "shards":
        window = crop or CROPS[0]
        lines.append(
            Line(f"validation: {{window: {window}}}", f"images up to {width}x{height} are predicted in parts")
        )
    size = f"{side} px" if crop else sizes_text(found)
    return (
        Line("objective: {metric: miou, mode: max}"),
        lines,
        batch,
        f"of {size}; smaller if memory runs out",
    )


def _crop(looked: Looked) -> tuple[int | None, str]:
    """The side of the crops, if images are not trained whole."""
    sizes, text = looked.found.parts["train"].sizes, sizes_text(looked.found)
    same = len({sizes["min"], sizes["max"]}) == 1
    if same and max(sizes["max"]) <= _SMALL:
        return None, ""
    least = min(min(sizes["median"]), CROPS[0])
    crop = next((side for side in CROPS if side <= least), CROPS[-1])
    return crop, f"{crop} px crop: the images are {text}"


def _of_classes(looked: Looked) -> _Choice:
    found, recognized = looked.found, looked.recognized
    side = recognized.data.get("resize")
    width, height = found.parts["train"].sizes["max"]
    if side is None and max(width, height) > _SMALL:
        side = side_of(found)
        recognized = recognized.changed({"resize": side}, f"the images are {sizes_text(found)}")
    side = side or min(width, height)
    large = side > 100
    stem = ", stem: large" if large else ""
    rare = _rare(looked)
    loss = [Line("loss:")]
    if rare:
        loss.append(Line("class_weights: {choice: [none, balanced]}", rare, 1))
    loss.append(Line("label_smoothing: {choice: [0.0, 0.1]}", depth=1))
    lines = [
        *_data(recognized),
        Line("model:"),
        Line("choice:", depth=1),
        Line("- {name: cnn, width: {choice: [16, 32]}, depth: {choice: [2, 3]}}", depth=2),
        Line(f"- {{name: resnet, width: {{choice: [16, 32]}}, stages: {{choice: [2, 3]}}{stem}}}",
             "large quarters the sides at once" if large else "", 2),
        *loss,
        Line("augment: {horizontal_flip: {choice: [0.0, 0.5]}}", "0 if left and right differ, as of digits"),
        _optimizer("1e-4, 1e-2"),
    ]  # fmt: skip
    return _objective_of_classes(rare), lines, 32, f"of {side}x{side} px"


def _objective_of_classes(rare: str) -> Line:
    if rare:
        return Line("objective: {metric: balanced_accuracy, mode: max}", "rare classes count alike")
    return Line("objective: {metric: accuracy, mode: max}")


def _of_table(looked: Looked) -> _Choice:
    of_classes = looked.recognized.task == "classification"
    samples = looked.found.parts["train"].of_samples
    widths = "[32, 64, 128, 256]" if samples > 5000 else "[16, 32, 64, 128]"
    rare = _rare(looked) if of_classes else ""
    if of_classes:
        loss = [Line("loss:")] + (
            [Line("class_weights: {choice: [none, balanced]}", rare, 1)] if rare else []
        )
        loss.append(Line("label_smoothing: {choice: [0.0, 0.1]}", depth=1))
    else:
        loss = [
            Line("loss:"),
            Line("choice:", depth=1),
            Line("- {name: mse}", depth=2),
            Line(
                "- {name: huber, delta: {loguniform: [0.1, 3.0]}}",
                "in deviations of the target",
                2,
            ),
        ]
    lines = [
        *_data(looked.recognized),
        Line("model:"),
        Line("name: mlp", depth=1),
        Line(f"width: {{choice: {widths}}}", depth=1),
        Line("depth: {choice: [1, 2, 3]}", depth=1),
        Line("dropout: {choice: [0.0, 0.1, 0.3]}", depth=1),
        *loss,
        _optimizer("1e-4, 3e-2"),
    ]
    objective = (
        _objective_of_classes(rare)
        if of_classes
        else Line("objective: {metric: rmse, mode: min}", "in units of the target")
    )
    batch = 128 if samples > 20_000 else 32
    return objective, lines, batch, f"of {counted(samples, 'row')} to train"


def _optimizer(lr: str) -> Line:
    decay = "weight_decay: {loguniform: [1e-6, 1e-1]}"
    return Line(f"optimizer: {{name: adamw, lr: {{loguniform: [{lr}]}}, {decay}}}")


def _data(recognized: Recognized) -> list[Line]:
    reasons = recognized.reasons
    lines = [Line(f"{key}: {flow(value)}", reasons.get(key, ""), 1) for key, value in recognized.data.items()]
    return [Line("data:"), *lines]


def _rare(looked: Looked) -> str:
    """What is said of the class that is much rarer than the others; empty where none is."""
    classes = [row for row in looked.found.classes if row.name != "ignored"]
    counts = {row.name: row.counts.get("train", 0) for row in classes}
    total = sum(counts.values())
    held = {name: count for name, count in counts.items() if count}
    if len(held) < 2:
        return ""
    name, count = min(held.items(), key=lambda item: item[1])
    most = max(held, key=held.__getitem__)
    if count * len(held) > _RARE * total and (looked.recognized.kind == "masks" or held[most] < 3 * count):
        return ""
    unit = looked.found.unit
    return f"{name} has {count / total:.1%} of the {unit}, {most} {held[most] / total:.0%}"


def _at_most(samples: int) -> int:
    """A power of two with which an epoch has some steps."""
    size = 1
    while size * 4 <= samples:
        size *= 2
    return size


def _virtual_epoch(samples: int, batch: int) -> tuple[str, str]:
    least, most = _STEPS
    steps = max(1, samples // batch)
    what = counted(samples, "training sample")
    told = f"a validation each time; an epoch over {what} has {steps:,}"
    if steps < least:
        return (
            f"virtual_epoch: {{steps: {least}}}",
            told,
        )
    if steps > most:
        return (
            f"virtual_epoch: {{steps: {most}}}",
            f"a validation each time; an epoch over {what} has {steps:,}",
        )
    return "virtual_epoch: {epochs: 1}", f"{what}, {steps} steps"
