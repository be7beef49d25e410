"""The same with Optuna, continued after a kill: an unfinished trial begins again from its last report."""

from pathlib import Path

import optuna
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

from examples.digits import accuracy, make_network, train_digits

STEPS, EVERY = 360, 40


def main(trial):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    lr, width = trial.suggest_float("lr", 1e-4, 1e-1, log=True), trial.suggest_int("width", 8, 128, log=True)
    model = make_network(width).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    loader = DataLoader(train_digits(), batch_size=32, shuffle=True)
    step = 0
    number = optuna.storages.RetryFailedTrialCallback.retried_trial_number(trial.study.trials[trial.number])
    file = Path("checkpoints", f"{trial.number if number is None else number}.pt")
    file.parent.mkdir(exist_ok=True)
    if file.exists():
        saved = torch.load(file, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        step = saved["step"]
    while step < STEPS:
        for images, labels in loader:
            model.train()
            loss = F.cross_entropy(model(images.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % EVERY == 0:
                value = accuracy(model, device)
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
                torch.save(state, file.with_suffix(".new"))
                file.with_suffix(".new").replace(file)
                trial.report(value, step // EVERY)
                if trial.should_prune():
                    raise optuna.TrialPruned
            if step == STEPS:
                break
    return value


if __name__ == "__main__":
    storage = optuna.storages.RDBStorage(
        "sqlite:///digits.db",
        heartbeat_interval=60,
        failed_trial_callback=optuna.storages.RetryFailedTrialCallback(inherit_intermediate_values=True),
    )
    study = optuna.create_study(
        direction="maximize",
        pruner=optuna.pruners.SuccessiveHalvingPruner(reduction_factor=3),
        storage=storage,
        study_name="digits",
        load_if_exists=True,
    )
    study.optimize(main, n_trials=8 - len(study.trials))
    print(study.best_params)
