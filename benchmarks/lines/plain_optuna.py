"""The script as a study of Optuna, one trial at a time: weak ones are pruned; a kill loses a trial."""

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
                trial.report(value, step // EVERY)
                if trial.should_prune():
                    raise optuna.TrialPruned
            if step == STEPS:
                break
    return value


if __name__ == "__main__":
    study = optuna.create_study(
        direction="maximize",
        pruner=optuna.pruners.SuccessiveHalvingPruner(reduction_factor=3),
        storage="sqlite:///digits.db",
        study_name="digits",
        load_if_exists=True,
    )
    study.optimize(main, n_trials=8)
    print(study.best_params)
