"""Training functions: suspended at each report, continued bit for bit, left with `finally`."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import own_functions
import pytest
import torch
from function_runs import all_reports, copied, trainer_of

from trainables.function.task import function_task


@pytest.fixture(autouse=True)
def _nothing_is_left():
    own_functions.LEFT.clear()
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.parametrize("function", [own_functions.train, own_functions.flat])
@pytest.mark.parametrize("pause", [1, 3])
def test_a_function_that_is_paused_and_begun_again_gives_the_same_bits(
    function: Callable[..., None], pause: int, tmp_path: Path
) -> None:
    values = {} if function is own_functions.train else {"batch": 8, "optimizer": {"lr": 0.01}}
    calm = trainer_of(function, **values)
    wanted = all_reports(calm)
    final = {name: tensor.clone() for name, tensor in calm.weights().items()}
    calm.close()

    first = trainer_of(function, **values)
    found = [first.run_virtual_epoch() for _ in range(pause)]
    weights, state = copied(first, tmp_path)
    first.close()
    torch.manual_seed(12345)
    second = trainer_of(function, **values)
    second.load(weights, state)
    found += all_reports(second)

    assert found == wanted
    assert len(found) == 4
    ended = second.weights()
    assert ended.keys() == final.keys()
    assert all(torch.equal(ended[name], final[name]) for name in final)
    second.close()


def test_counters_follow_the_virtual_epochs() -> None:
    trainer = trainer_of(own_functions.train)
    assert (trainer.virtual_epochs.end_step(1), trainer.counters.num_steps) == (5, 0)
    trainer.run_virtual_epoch()
    assert (trainer.counters.num_steps, trainer.num_samples) == (5, 80)
    trainer.close()


def test_a_virtual_epoch_may_be_a_pass_over_the_batches_that_the_trial_gives() -> None:
    trainer = trainer_of(own_functions.train, unit="epochs", count=1)
    assert trainer.virtual_epochs.end_step(2) == 12
    trainer.close()
    with pytest.raises(ValueError, match=r"\{epochs: 1\}, and the trial does not know the batches"):
        trainer_of(own_functions.until_it_stands_still, unit="epochs", count=1).run_virtual_epoch()


def test_a_function_that_is_ended_is_left_through_its_context_managers() -> None:
    trainer = trainer_of(own_functions.train)
    trainer.run_virtual_epoch()
    assert own_functions.LEFT == []
    trainer.close()
    assert own_functions.LEFT == ["train"]


def test_except_exception_does_not_hold_up_the_end() -> None:
    trainer = trainer_of(own_functions.swallows)
    trainer.run_virtual_epoch()
    trainer.close()
    assert own_functions.LEFT == []


def test_a_function_may_be_paused_without_gradients_while_the_caller_has_them() -> None:
    def evaluates(trial: Any) -> None:
        trial.track(model=torch.nn.Linear(1, 1))
        for steps in trial.virtual_epochs():
            deque(steps, maxlen=0)
            with torch.no_grad():
                trial.report(loss=1.0)
                assert not torch.is_grad_enabled()
            assert torch.is_grad_enabled()

    trainer = trainer_of(evaluates)
    trainer.run_virtual_epoch()
    assert torch.is_grad_enabled()
    trainer.run_virtual_epoch()
    trainer.close()


def test_a_function_may_return_before_the_full_length() -> None:
    trainer = trainer_of(own_functions.until_it_stands_still, count=2)
    assert all_reports(trainer) == [{"loss": 2.0}, {"loss": 0.5}, {"loss": 0.125}]
    trainer.close()


def test_an_error_of_the_function_is_that_of_the_virtual_epoch() -> None:
    trainer = trainer_of(own_functions.raises)
    trainer.run_virtual_epoch()
    with pytest.raises(RuntimeError, match="no luck in virtual epoch 2"):
        trainer.run_virtual_epoch()
    trainer.close()


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (own_functions.never_reports, ValueError, r"virtual epoch 1 has ended without trial.report"),
        (
            own_functions.never_loops,
            ValueError,
            r"returned, or reported, before its loop; train in",
        ),
        (own_functions.draws_no_step, ValueError, r"after 0 of the \d+ steps of virtual epoch 1: take one"),
        (own_functions.stops_early, ValueError, r"after 3 of the \d+ steps of virtual epoch 1"),
        (
            own_functions.ends_its_loader,
            ValueError,
            r"has ended \(StopIteration\); batches from",
        ),
        (own_functions.evaluates_nothing, ValueError, r"trial\.evaluate\(\) has nothing to call: give trial"),
        (
            own_functions.evaluated_by_values,
            TypeError,
            r"evaluated_by\(\) received a dict; must be",
        ),
        (
            own_functions.reports_a_step,
            ValueError,
            r"received step, which each report has already; .* my_st",
        ),
        (own_functions.reports_a_list, TypeError, r"metric 'loss' is a Tensor \[3\]; must be one number"),
    ],
)
def test_a_contract_that_is_broken_is_told(function: Any, error: type[Exception], message: str) -> None:
    trainer = trainer_of(function)
    with pytest.raises(error, match=message):
        trainer.run_virtual_epoch()
    trainer.close()


def test_a_function_without_a_model_cannot_be_saved() -> None:
    trainer = trainer_of(own_functions.without_a_model)
    trainer.run_virtual_epoch()
    with pytest.raises(ValueError, match=r"no model is tracked, .* call trial\.track\(model="):
        trainer.weights()
    trainer.close()


def test_parameters_are_the_options_with_their_types_and_defaults() -> None:
    options = function_task(own_functions.train).Options
    assert options.parse({"lr": 1}).lr == 1.0
    assert options.parse({}).width == 8
    for wrong in ({"lrr": 1}, {"width": "wide"}, {"batch_size": 3}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            options.parse(wrong)


def test_a_function_of_the_trial_alone_takes_any_values_but_those_that_a_trial_hides() -> None:
    options = function_task(own_functions.flat).Options
    assert options.parse({"batch": 8}).batch == 8
    with pytest.raises(ValueError, match=r"'steps' is a name of the trial's own, so trial\.steps"):
        options.parse({"steps": 3})
    trainer = trainer_of(own_functions.any_values, a=1, b=2)
    assert trainer.run_virtual_epoch() == {"loss": 2.0}
    trainer.close()


def test_a_function_that_takes_no_trial_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no_trial takes no trial; a training function is `def"):
        function_task(own_functions.no_trial)
    with pytest.raises(ValueError, match=r"first parameter of rate_first is 'lr', and must be the trial"):
        function_task(own_functions.rate_first)


def test_a_function_that_leaves_what_a_trial_needs_is_noted() -> None:
    notes = {}
    for function in (own_functions.train, own_functions.shows):
        trainer = trainer_of(function)
        trainer.run_virtual_epoch()
        notes[function.__name__] = [note.partition("(")[0] for note in trainer.doubts()]
        trainer.close()
    assert notes["train"] == []
    assert notes["shows"] == ["no batches come from trial.batches", "trial.evaluated_by"]


def test_no_value_is_hidden_by_what_a_trial_has() -> None:
    trainer = trainer_of(own_functions.flat, batch=8, optimizer={"lr": 0.01})
    names = {name for name in (*vars(trainer.trial), *dir(type(trainer.trial))) if not name.startswith("_")}
    assert "state" in names
    for name in names - {"seed"}:
        with pytest.raises(ValueError, match=f"'{name}' is a name of the trial's own"):
            function_task(own_functions.flat).Options.parse({name: 3})
    trainer.close()
