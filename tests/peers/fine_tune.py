"""Fine-tunes torchvision's ResNet-18 on a folder of images with Lamina and with PyTorch, in turn; compares accuracies.

    python tests/peers/fine_tune.py --lamina build/release/lamina --data tiny-imagenet-10 --weights resnet18.safetensors

--weights is a state dict of torchvision's resnet18, as .safetensors or .pth, or one with the same names, such as the
weights.safetensors of `lamina train --model resnet18 --stem imagenet`. --data has train/<class>/** and val/<class>/**,
square images of one size.

First a check without chance: some steps on one whole batch, not augmented, from the same weights, the last layer's
too. Losses in training and in tests must agree, or the recipes are not the same. Then the fine-tuning itself, from a
new last layer, with crops and mirrors. A seed means other random numbers on each side, so that the means count; their
standard error says how much. Exits 1 unless all losses agree and the means are within a point.

Needs torch, torchvision, safetensors, numpy and Pillow.
"""
import argparse
import csv
import dataclasses
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import types

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file

from train_cifar10 import PADDING, Normalize, augment, evaluate, learning_rate

# Of losses of 2 to 4. From trained weights they agree to 2e-6, as PyTorch's f32 and f64 do; a momentum of 0.8, a decay of
# 0.09 or a factor of 9 shows as 7e-3 and more. From random weights rounding grows beyond any tolerance.
TOLERANCE = 1e-4
# A recipe in which each number shows within a few steps.
CHECKED = {"lr": 1e-2, "momentum": 0.9, "weight_decay": 0.1, "head_lr": 10, "schedule": "cosine"}
LARGEST_DIFFERENCE = 1.0  # points of accuracy


@dataclasses.dataclass
class Images:
    images: torch.Tensor  # u8 [N, H, W, 3]
    labels: torch.Tensor  # i64 [N]


def image_files(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(f for f in folder.rglob("*") if f.is_file() and f.suffix != ".txt" and not f.name.startswith("."))


def read_split(folder: pathlib.Path) -> Images:
    """Classes are numbered by their sorted names, as torchvision's ImageFolder does."""
    images, labels = [], []
    for label, directory in enumerate(sorted(d for d in folder.iterdir() if d.is_dir())):
        for file in image_files(directory):
            images.append(np.asarray(Image.open(file).convert("RGB")))
            labels.append(label)
    return Images(torch.from_numpy(np.stack(images)), torch.tensor(labels))


def backbone(options) -> dict:
    """The weights as they are, but for a last layer that would fit: it was trained for other classes."""
    path = options.weights
    weights = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    classes = sum(d.is_dir() for d in (options.data / "train").iterdir())
    fits = "fc.weight" in weights and len(weights["fc.weight"]) == classes
    return {name: value for name, value in weights.items() if not (fits and name.startswith("fc."))}


def train(net, optimizer, train_set, test_set, recipe, epochs, batch, augmented, seed) -> list[dict]:
    """Row by epoch: the mean loss of its steps, and loss and accuracy of the test images after it."""
    generator = torch.Generator().manual_seed(seed)
    normalize = Normalize(train_set.images)
    padded = F.pad(train_set.images, (0, 0, PADDING, PADDING, PADDING, PADDING))
    steps = len(train_set.labels) // batch  # an incomplete last batch is left out
    net.train()
    rows = []
    for epoch in range(epochs):
        order = torch.randperm(len(train_set.labels), generator=generator)
        total = 0.0
        for i in range(steps):
            rate = learning_rate(epoch * steps + i, epochs * steps, 0, recipe)
            for group in optimizer.param_groups:
                group["lr"] = rate * group.get("factor", 1)
            index = order[i * batch : (i + 1) * batch]
            images = augment(padded, index, generator) if augmented else train_set.images[index]
            loss = F.cross_entropy(net(normalize(images)), train_set.labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        accuracy, test_loss = evaluate(net, test_set.images, test_set.labels, normalize)
        rows.append({"train_loss": total / steps, "test_loss": test_loss, "test_accuracy": accuracy})
    return rows


def pytorch_rows(weights: dict, train_set: Images, test_set: Images, recipe, batch, epochs, augmented, seed):
    torch.manual_seed(seed)
    classes = int(train_set.labels.max()) + 1
    net = torchvision.models.resnet18(num_classes=classes)
    taken = {name: value for name, value in weights.items() if value.shape == net.state_dict()[name].shape}
    missing = net.load_state_dict(taken, strict=False).missing_keys
    if set(missing) - {"fc.weight", "fc.bias"}:
        sys.exit(f"not the weights of torchvision's resnet18: {len(missing)} tensors are missing, {missing[0]} for one")
    net.to(memory_format=torch.channels_last)
    head = list(net.fc.parameters())
    rest = [p for name, p in net.named_parameters() if not name.startswith("fc.")]
    optimizer = torch.optim.SGD([{"params": rest}, {"params": head, "factor": recipe.head_lr}], lr=recipe.lr,
                                momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    return train(net, optimizer, train_set, test_set, recipe, epochs, batch, augmented, seed)


def lamina_rows(program, data, weights: pathlib.Path, recipe, batch, epochs, augmented, seed, threads):
    """The rows of epochs.csv, and what config.json says of the initial weights."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run"
        options = {"data": f"folder:{data}", "model": "resnet18", "stem": "imagenet", "init-weights": weights,
                   "optimizer": "sgd", "lr": recipe.lr, "momentum": recipe.momentum,
                   "weight-decay": recipe.weight_decay, "group": f"fc.*:lr={recipe.head_lr}",
                   "schedule": recipe.schedule, "batch": batch, "epochs": epochs,
                   "augment": "standard" if augmented else "none", "seed": seed, "threads": threads,
                   "progress": "none", "out": out}
        command = [program, "train", *(str(word) for name, value in options.items() for word in (f"--{name}", value))]
        done = subprocess.run(command, stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))}\nended with status {done.returncode}")
        with open(out / "epochs.csv", newline="") as file:
            rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
        return rows, json.loads((out / "config.json").read_text())["resolved"]["initial_weights"]


def small_folder(data: pathlib.Path, into: pathlib.Path, per_class: int) -> int:
    """Copies the first images of each class of both splits; returns how many there are to train on."""
    for split in ("train", "val"):
        for directory in sorted(d for d in (data / split).iterdir() if d.is_dir()):
            (into / split / directory.name).mkdir(parents=True)
            for file in image_files(directory)[:per_class]:
                shutil.copy(file, into / split / directory.name)
    return len(image_files(into / "train"))


def compare_losses(options, weights: dict, folder: pathlib.Path) -> bool:
    data, file, recipe = folder / "small", folder / "with-head.safetensors", types.SimpleNamespace(**CHECKED)
    batch = small_folder(options.data, data, per_class=8)
    train_set, test_set = read_split(data / "train"), read_split(data / "val")
    torch.manual_seed(1)
    head = torch.nn.Linear(512, int(train_set.labels.max()) + 1)
    weights = weights | {f"fc.{name}": value for name, value in head.state_dict().items()}
    save_file(weights, file)
    how = {"batch": batch, "epochs": 5, "augmented": False, "seed": 1}  # an epoch is a step
    ours, _ = lamina_rows(options.lamina, data, file, recipe, threads=options.threads, **how)
    theirs = pytorch_rows(weights, train_set, test_set, recipe, **how)
    print(f"One batch of {batch} images, from the same weights\n"
          "step  loss: Lamina  PyTorch  difference  test loss: Lamina  PyTorch  difference")
    same = True
    for step, (a, b) in enumerate(zip(ours, theirs, strict=True), 1):
        train_loss, test_loss = (a[name] - b[name] for name in ("train_loss", "test_loss"))
        print(f"{step:4}{a['train_loss']:14.5f}{b['train_loss']:9.5f}{train_loss:12.1e}"
              f"{a['test_loss']:19.5f}{b['test_loss']:9.5f}{test_loss:12.1e}")
        same &= abs(train_loss) < TOLERANCE and abs(test_loss) < TOLERANCE
    return same


def describe(initial: dict) -> str:
    rest = [f"{what.replace('_', ' ')}: {', '.join(initial[what])}" for what in ("missing", "other_shape", "unexpected")
            if initial[what]]
    return f"Lamina took {len(initial['taken'])} tensors of {initial['file_model']}; {'; '.join(rest) or 'all'}"


def compare_accuracies(options, weights: dict, file: pathlib.Path) -> bool:
    train_set, test_set = read_split(options.data / "train"), read_split(options.data / "val")
    how = {"batch": options.batch, "epochs": options.epochs, "augmented": True}
    print(f"\nFine-tuning: {len(train_set.labels)} images, {len(test_set.labels)} to test; test accuracy in %\n"
          "seed  Lamina  PyTorch  difference", flush=True)
    pairs = []
    for seed in options.seeds:
        rows, initial = lamina_rows(options.lamina, options.data, file, options, seed=seed, threads=options.threads,
                                    **how)
        theirs = pytorch_rows(weights, train_set, test_set, options, seed=seed, **how)
        pairs.append((100 * rows[-1]["test_accuracy"], 100 * theirs[-1]["test_accuracy"]))
        print("{:4}{:8.2f}{:9.2f}{:+12.2f}".format(seed, *pairs[-1], pairs[-1][0] - pairs[-1][1]), flush=True)
    ours, theirs = (statistics.mean(column) for column in zip(*pairs))
    print(f"mean{ours:8.2f}{theirs:9.2f}{ours - theirs:+12.2f}", end="")
    if len(pairs) > 1:
        differences = [a - b for a, b in pairs]
        print(f" ± {statistics.stdev(differences) / len(pairs) ** 0.5:.2f}", end="")
    print(f"\n{describe(initial)}")
    return abs(ours - theirs) <= LARGEST_DIFFERENCE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lamina", default="build/release/lamina", help="the program")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder with train/ and val/")
    parser.add_argument("--weights", type=pathlib.Path, required=True, help="state dict of torchvision's resnet18")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--head-lr", type=float, default=10, help="factor of the last layer's learning rate")
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--schedule", choices=["constant", "cosine"], default="cosine")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    weights = backbone(options)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        file = folder / "initial.safetensors"  # Lamina reads no .pth
        save_file(weights, file)
        same_losses = compare_losses(options, weights, folder)
        same_accuracies = compare_accuracies(options, weights, file)
    if not same_losses:
        print(f"the losses on the same batch differ by more than {TOLERANCE}")
    if not same_accuracies:
        print(f"the mean accuracies differ by more than {LARGEST_DIFFERENCE} points")
    return 0 if same_losses and same_accuracies else 1


if __name__ == "__main__":
    sys.exit(main())
