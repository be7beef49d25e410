"""A script as somebody has it: one training of a network for handwritten digits."""

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

from examples.digits import accuracy, make_network, train_digits

STEPS, EVERY = 360, 40


def main():
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    lr, width = 1e-2, 64
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
                print(step, accuracy(model, device))
            if step == STEPS:
                break


if __name__ == "__main__":
    main()
