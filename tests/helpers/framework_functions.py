"""Training functions of frameworks: small, with dropout, a schedule and a shuffled order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Engine, Events, create_supervised_evaluator, create_supervised_trainer
from ignite.handlers import CosineAnnealingScheduler, LRScheduler
from ignite.metrics import Accuracy, RunningAverage
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

import search
from trainables.integrations.accelerate import accelerator_of, batches_of
from trainables.integrations.ignite import run as run_engine
from trainables.integrations.transformers import run as run_trainer
from trainables.integrations.transformers import training_arguments

NUM_TRAIN, NUM_VALID = 52, 16
"""13 batches of 4 are an epoch."""
CALLS: Counter[str] = Counter()
FIRED: list[str] = []


def points(number: int = NUM_TRAIN) -> TensorDataset:
    """Two classes of points in the plane."""
    generator = torch.Generator().manual_seed(number)
    inputs = torch.randn(number, 2, generator=generator)
    return TensorDataset(inputs, (inputs.sum(dim=1) > 0).long())


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 2))


class Noisy(Dataset[Any]):
    """The points, moved a little each time."""

    def __len__(self) -> int:
        return NUM_TRAIN

    def __getitem__(self, index: int) -> Any:
        inputs, label = points()[index]
        return inputs + 0.1 * torch.randn(2), label


class Sequences(Dataset[dict[str, Any]]):
    """Made-up tokens, whose label is whether the first is larger than the last."""

    def __init__(self, number: int) -> None:
        tokens = torch.randint(1, 20, (number, 6), generator=torch.Generator().manual_seed(number))
        self._tokens, self._labels = tokens, (tokens[:, 0] > tokens[:, -1]).long()

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self._tokens[index], "labels": self._labels[index]}


def bert() -> nn.Module:
    return BertForSequenceClassification(
        BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                   intermediate_size=8, max_position_embeddings=8)
    )  # fmt: skip


def trainer_of(trial: search.Trial, lr: float = 1e-2, accumulate: int = 1, **options: Any) -> Trainer:
    given = {name: options.pop(name) for name in ("callbacks", "optimizers", "model_init") if name in options}
    arguments = {"lr_scheduler_type": "cosine", "logging_steps": 3} | training_arguments(trial) | options
    return Trainer(
        None if "model_init" in given else bert(),
        TrainingArguments(
            **arguments,
            learning_rate=lr,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=accumulate,
        ),
        train_dataset=Sequences(NUM_TRAIN),
        eval_dataset=Sequences(NUM_VALID),
        compute_metrics=lambda found: {"accuracy": (found.predictions.argmax(-1) == found.label_ids).mean()},
        **given,
    )


def with_transformers(trial: search.Trial, lr: float = 1e-2, accumulate: int = 1) -> None:
    run_trainer(trial, trainer_of(trial, lr, accumulate))


def with_a_plateau(trial: search.Trial, lr: float = 0.5) -> None:
    """Its schedule has a state that changes after the evaluation."""
    run_trainer(
        trial,
        trainer_of(
            trial,
            lr,
            lr_scheduler_type="reduce_lr_on_plateau",
            lr_scheduler_kwargs={"patience": 0, "factor": 0.5},
            metric_for_best_model="accuracy",
        ),
    )


class Counting(TrainerCallback):
    def on_save(self, *_: Any, **__: Any) -> None:
        CALLS["on_save"] += 1

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        CALLS["on_evaluate"] += 1


def stops_early(trial: search.Trial, lr: float = 0.0) -> None:
    """When the accuracy has not risen three times."""
    stopping = EarlyStoppingCallback(early_stopping_patience=3)
    run_trainer(trial, trainer_of(trial, lr, callbacks=[stopping], metric_for_best_model="accuracy"))


def with_a_callback(trial: search.Trial, lr: float = 1e-2) -> None:
    run_trainer(trial, trainer_of(trial, lr, callbacks=[Counting()]))


def with_ignite(trial: search.Trial, lr: float = 1e-2, accumulate: int = 1) -> None:
    """With a schedule in iterations, and one in epochs."""
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    trial.track(model=model, optimizer=optimizer)
    engine = create_supervised_trainer(
        model, optimizer, cross_entropy, gradient_accumulation_steps=accumulate
    )
    evaluator = create_supervised_evaluator(model, {"accuracy": Accuracy()})
    schedule = CosineAnnealingScheduler(optimizer, "weight_decay", 0.1, 0.0, cycle_size=20)
    engine.add_event_handler(Events.ITERATION_STARTED, schedule)
    by_epoch = LRScheduler(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.7))
    engine.add_event_handler(Events.EPOCH_COMPLETED, by_epoch)
    schedule = CosineAnnealingScheduler(optimizer, "eps", 1e-3, 1e-8, cycle_size=7)
    engine.add_event_handler(Events.EPOCH_STARTED(every=1), schedule)
    RunningAverage(output_transform=float).attach(engine, "average")
    engine.state_dict_user_keys.append("smooth")
    engine.add_event_handler(Events.STARTED, _begin)
    engine.add_event_handler(Events.ITERATION_COMPLETED(every=2), _smooth)
    for event in (Events.EXCEPTION_RAISED, Events.TERMINATE, Events.COMPLETED, Events.EPOCH_COMPLETED):
        engine.add_event_handler(event, _fired(event))
    valid = DataLoader(points(NUM_VALID), batch_size=NUM_VALID)
    loader = DataLoader(points(), batch_size=4, shuffle=True)
    run_engine(
        trial,
        engine,
        loader,
        lambda: {
            **evaluator.run(valid).metrics,
            "average": engine.state.metrics.get("average", 0.0),
            "smooth": engine.state.smooth,
        },
        per_step=accumulate,
    )


def _begin(engine: Engine) -> None:
    engine.state.smooth = 1.0


def _smooth(engine: Engine) -> None:
    engine.state.smooth = 0.9 * engine.state.smooth + 0.1 * engine.state.output


def _engine(trial: search.Trial) -> Engine:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trial.track(model=model, optimizer=optimizer)
    return create_supervised_trainer(model, optimizer, cross_entropy)


def ends_its_engine(trial: search.Trial) -> None:
    engine = _engine(trial)
    engine.add_event_handler(Events.ITERATION_COMPLETED(once=12), engine.terminate)
    loader = DataLoader(points(), batch_size=4)
    run_engine(trial, engine, loader, lambda: {"loss": engine.state.output})


class Stream(IterableDataset[Any]):
    """Samples whose number is not known."""

    def __init__(self, samples: Any) -> None:
        self._samples = samples

    def __iter__(self) -> Any:
        return (self._samples[i] for i in range(len(self._samples)))


def streams(trial: search.Trial) -> None:
    engine = _engine(trial)
    loader = DataLoader(Stream(points()), batch_size=4)
    run_engine(trial, engine, loader, lambda: {"loss": engine.state.output})


def _fired(event: Any) -> Callable[..., None]:
    def note(engine: Engine, *_: Any) -> None:
        FIRED.append(f"{event.name} {engine.state.iteration}")

    return note


def with_accelerate(
    trial: search.Trial, lr: float = 1e-2, accumulate: int = 1, precision: str = "no", prepared: bool = False
) -> None:
    accelerator = accelerator_of(trial, mixed_precision=precision, gradient_accumulation_steps=accumulate)
    loader: Any = DataLoader(Noisy(), batch_size=4, shuffle=True)
    if prepared:
        loader = accelerator.prepare(loader)
    batches = batches_of(trial, accelerator, loader)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=trial.num_steps)
    model, optimizer, schedule = accelerator.prepare(model, optimizer, schedule)
    trial.track(model=model, optimizer=optimizer, schedule=schedule)
    inputs, labels = points(NUM_VALID).tensors

    def accuracy() -> dict[str, Any]:
        return {"accuracy": (model.eval()(inputs).argmax(dim=1) == labels).float().mean()}

    trial.evaluated_by(accuracy)
    for steps in trial.virtual_epochs():
        model.train()
        for _ in steps:
            for _ in range(accumulate):
                rows, wanted = next(batches)
                with accelerator.accumulate(model):
                    loss = cross_entropy(model(rows), wanted)
                    accelerator.backward(loss)
                    optimizer.step()
                    schedule.step()
                    optimizer.zero_grad()
        trial.report(**accuracy(), loss=loss)
