"""The script as a search of Ray Tune with Optuna and ASHA: weak trials are stopped, a kill loses all."""

from pathlib import Path

import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from torch.nn import functional as F
from torch.utils.data import DataLoader

from examples.digits import accuracy, make_network, train_digits

STEPS, EVERY = 360, 40


def main(config):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    lr, width = config["lr"], config["width"]
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
                tune.report({"accuracy": accuracy(model, device)})
            if step == STEPS:
                break


if __name__ == "__main__":
    tuner = tune.Tuner(
        tune.with_resources(main, {"cpu": 1}),
        param_space={"lr": tune.loguniform(1e-4, 1e-1), "width": tune.lograndint(8, 129)},
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            num_samples=8,
            search_alg=OptunaSearch(),
            scheduler=ASHAScheduler(max_t=STEPS // EVERY, grace_period=1, reduction_factor=3),
        ),
        run_config=tune.RunConfig(name="digits", storage_path=str(Path("results").absolute())),
    )
    print(tuner.fit().get_best_result().config)
