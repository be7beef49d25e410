"""The same with Ray Tune, continued after a kill: from the last report, with batches of another order."""

import tempfile
from pathlib import Path

import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from torch.nn import functional as F
from torch.utils.data import DataLoader

from examples.digits import accuracy, make_network, train_digits

STEPS, EVERY = 360, 40
FOLDER = Path("results").absolute()


def main(config):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    lr, width = config["lr"], config["width"]
    model = make_network(width).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    loader = DataLoader(train_digits(), batch_size=32, shuffle=True)
    step = 0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            saved = torch.load(Path(folder) / "state.pt", weights_only=True)
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
                with tempfile.TemporaryDirectory() as folder:
                    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
                    torch.save(state, Path(folder) / "state.pt")
                    checkpoint = tune.Checkpoint.from_directory(folder)
                    tune.report({"accuracy": accuracy(model, device)}, checkpoint=checkpoint)
            if step == STEPS:
                break


if __name__ == "__main__":
    trainable = tune.with_resources(main, {"cpu": 1})
    if tune.Tuner.can_restore(str(FOLDER / "digits")):
        tuner = tune.Tuner.restore(str(FOLDER / "digits"), trainable=trainable, resume_errored=True)
    else:
        tuner = tune.Tuner(
            trainable,
            param_space={"lr": tune.loguniform(1e-4, 1e-1), "width": tune.lograndint(8, 129)},
            tune_config=tune.TuneConfig(
                metric="accuracy",
                mode="max",
                num_samples=8,
                search_alg=OptunaSearch(),
                scheduler=ASHAScheduler(max_t=STEPS // EVERY, grace_period=1, reduction_factor=3),
            ),
            run_config=tune.RunConfig(
                name="digits",
                storage_path=str(FOLDER),
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
            ),
        )
    print(tuner.fit().get_best_result().config)
