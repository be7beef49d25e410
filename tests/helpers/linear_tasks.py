"""Tasks over ten samples plain enough to compute by hand, and digits from a user's own DataLoader."""

import numpy as np
import torch
from small_trials import CPU
from tiny_tasks import DigitsTask
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from trainables.optim.precision import Precision
from trainables.task import Task

SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.9}


class LinearTask(Task):
    """Ten samples of three numbers, one target; plain enough to be done by hand."""

    def train_data(self):
        rng = np.random.default_rng(0)
        return rng.standard_normal((10, 3)).astype(np.float32), rng.standard_normal(10).astype(np.float32)

    def valid_data(self):
        return self.train_data()

    def build_model(self):
        return nn.Linear(3, 1)

    def forward(self, model, batch):
        return model(batch[0])[:, 0]

    def loss(self, outputs, batch):
        return F.mse_loss(outputs, batch[1])

    def metrics(self):
        return NoMetrics()


class NoMetrics:
    def update(self, outputs, batch): ...

    def compute(self):
        return {"answer": 42}


class WatchedTask(LinearTask):
    """Notes the state of the model at every forward pass of the training."""

    def __init__(self, options, arrays):
        super().__init__(options, arrays)
        self.weights, self.training, self.gradients, self.sizes = [], [], [], []

    def forward(self, model, batch):
        if torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
            self.weights.append(model.weight.detach().clone())
            self.training.append(model.training)
            self.gradients.append(model.weight.grad is not None)
            self.sizes.append(len(batch[0]))
        return super().forward(model, batch)


class IgnoringTask(LinearTask):
    """Classes 0 and 1, and -100 where there is none: six of ten samples."""

    def train_data(self):
        x, y = super().train_data()
        return x, np.where(np.arange(10) < 6, -100, y > 0)

    def build_model(self):
        return nn.Linear(3, 2)

    def forward(self, model, batch):
        return model(batch[0])

    def loss(self, outputs, batch):
        return F.cross_entropy(outputs, batch[1])

    def loss_weight(self, batch):
        return (batch[1] != -100).sum().float()


class LoaderTask(DigitsTask):
    """The training data as a shuffled DataLoader of the user's own."""

    def train_data(self):
        x, y = (torch.from_numpy(part[:100]) for part in super().train_data())
        return DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)


def train_steps(trainer, num_virtual_epochs=1):
    for _ in range(num_virtual_epochs):
        trainer.run_virtual_epoch()
    return {name: tensor.clone() for name, tensor in trainer.weights().items()}


class Scaled(Precision):
    """Loss scaling as under fp16, on a CPU."""

    def __init__(self, scale):
        super().__init__("fp32", CPU)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
