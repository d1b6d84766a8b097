"""The PyTorch peer of `lamina train --model resnet20 --optimizer sgd`: same model, data, augmentation and recipe.

    python tests/peers/train_cifar10.py --data datasets/cifar-10-batches-bin --epochs 6 --seed 1

Prints one line per epoch; with --json, one JSON object at the end and nothing else on standard output.
Images stay in memory as bytes and batches are augmented by indexing, so the loader costs next to nothing.
"""
import argparse
import json
import math
import pathlib
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

from cifar_resnet import CifarResNet

PADDING = 4


def read_batches(directory: pathlib.Path, names: list[str]):
    """Images [N, 32, 32, 3] and labels [N] of CIFAR-10's binary files: a label byte, then the R, G and B planes."""
    records = np.concatenate([np.fromfile(directory / name, dtype=np.uint8).reshape(-1, 3073) for name in names])
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(records[:, 0].astype(np.int64))


class Normalize:
    """Standardises by the mean and standard deviation of each channel over all training pixels."""

    def __init__(self, images: torch.Tensor):
        pixels = images.numpy().reshape(-1, 3)
        self.mean = torch.tensor(pixels.mean(axis=0, dtype=np.float64) / 255, dtype=torch.float32)
        self.std = torch.tensor(pixels.std(axis=0, dtype=np.float64) / 255, dtype=torch.float32)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        x = (images.float() / 255 - self.mean) / self.std
        return x.permute(0, 3, 1, 2)  # NHWC memory seen as NCHW: channels_last


def augment(padded: torch.Tensor, index: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random crops, of the images' own size, of the zero-padded images, half of them mirrored."""
    n = len(index)
    top, left = (torch.randint(0, 2 * PADDING + 1, (n, 1), generator=generator) for _ in range(2))
    flip = torch.rand(n, 1, generator=generator) < 0.5
    span = torch.arange(padded.shape[1] - 2 * PADDING)
    rows = top + span
    columns = left + torch.where(flip, span.flip(0), span)
    return padded[index[:, None, None], rows[:, :, None], columns[:, None, :]]


def learning_rate(step: int, steps: int, warmup: float, options) -> float:
    """Linear warm-up from 0 over the first `warmup` steps, then constant, or half a cosine that would reach 0 one step
    after the last."""
    if step < warmup:
        return options.lr * step / warmup
    if options.schedule == "constant":
        return options.lr
    return options.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def parameter_groups(net: torch.nn.Module, options):
    """With --decay weights, only the weights of convolutions and linear layers decay; else everything does."""
    decayed = [p for p in net.parameters() if p.ndim > 1 or options.decay == "all"]
    others = [p for p in net.parameters() if p.ndim <= 1 and options.decay != "all"]
    return [{"params": decayed, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}]


@torch.no_grad()
def evaluate(net: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, normalize: Normalize):
    net.eval()
    correct, loss = 0, 0.0
    for part, target in zip(images.split(1000), labels.split(1000)):
        logits = net(normalize(part))
        correct += int((logits.argmax(1) == target).sum())
        loss += float(F.cross_entropy(logits, target, reduction="sum"))
    net.train()
    return correct / len(labels), loss / len(labels)


def train(options, log) -> dict:
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    directory = pathlib.Path(options.data)
    images, labels = read_batches(directory, [f"data_batch_{i}.bin" for i in range(1, 6)])
    test_images, test_labels = read_batches(directory, ["test_batch.bin"])
    normalize = Normalize(images)
    if options.limit_train:
        images, labels = images[: options.limit_train], labels[: options.limit_train]
    padded = F.pad(images, (0, 0, PADDING, PADDING, PADDING, PADDING))

    net = CifarResNet(int(options.model.removeprefix("resnet"))).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(parameter_groups(net, options), lr=options.lr,
                                momentum=options.momentum, nesterov=options.nesterov)
    steps_per_epoch = len(labels) // options.batch  # an incomplete last batch is left out
    samples = steps_per_epoch * options.batch
    steps = options.epochs * steps_per_epoch
    warmup = options.warmup_epochs * steps_per_epoch
    result = {"framework": f"PyTorch {torch.__version__}", "options": vars(options), "epochs": []}
    for epoch in range(options.epochs):
        start = time.perf_counter()
        order = torch.randperm(len(labels), generator=generator)
        total = 0.0
        for i in range(steps_per_epoch):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(epoch * steps_per_epoch + i, steps, warmup, options)
            index = order[i * options.batch : (i + 1) * options.batch]
            loss = F.cross_entropy(net(normalize(augment(padded, index, generator))), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(index)
        seconds = time.perf_counter() - start
        accuracy, test_loss = evaluate(net, test_images, test_labels, normalize)
        row = {"epoch": epoch + 1, "train_loss": total / samples, "test_loss": test_loss,
               "test_accuracy": accuracy, "images_per_s": samples / seconds}
        result["epochs"].append(row)
        print("epoch {epoch}: train loss {train_loss:.4f}, test loss {test_loss:.4f}, test accuracy "
              "{test_accuracy:.4f}, {images_per_s:.0f} images/s".format(**row), file=log, flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with data_batch_1.bin … test_batch.bin")
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--nesterov", action="store_true")
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--decay", choices=["all", "weights"], default="all", help="what weight decay applies to")
    parser.add_argument("--schedule", choices=["constant", "cosine"], default="cosine")
    parser.add_argument("--warmup-epochs", type=float, default=0)
    parser.add_argument("--limit-train", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = train(options, sys.stderr if options.json else sys.stdout)
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
