"""Weight files in both directions between Lamina and torchvision, on real images, with both stems:

  lamina train writes a ResNet-18 -> safetensors -> load_state_dict(strict=True) -> the same logits as lamina predict
  torchvision's ResNet-18 (random, with moved running statistics) -> safetensors -> lamina predict -> the same logits

    python tests/peers/weights_roundtrip.py --lamina build/release/lamina --data datasets/cifar-10-batches-bin

Exits 1 unless all logits agree within 1e-4. Needs torch, torchvision, safetensors, numpy and Pillow.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

TOLERANCE = 1e-4
MEAN, STD = [0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616]


def resnet18(stem: str) -> torch.nn.Module:
    net = torchvision.models.resnet18(num_classes=10)
    if stem == "cifar":
        net.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        net.maxpool = torch.nn.Identity()
    return net


def test_images(directory: pathlib.Path, count: int, into: pathlib.Path):
    """The first images of CIFAR-10's test batch, as PNG files."""
    records = np.fromfile(directory / "test_batch.bin", dtype=np.uint8).reshape(-1, 3073)[:count]
    files = []
    for i, image in enumerate(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)):
        files.append(into / f"{i}.png")
        Image.fromarray(image).save(files[-1])
    return files


def torch_logits(net: torch.nn.Module, files, mean, std) -> np.ndarray:
    images = np.stack([np.asarray(Image.open(file), dtype=np.float32) / 255 for file in files])
    x = torch.from_numpy((images - np.float32(mean)) / np.float32(std)).permute(0, 3, 1, 2)
    with torch.no_grad():
        return net.eval()(x).numpy()


def lamina_logits(program, weights, files, *options) -> np.ndarray:
    command = [program, "predict", weights, *files, "--json", *options]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return np.array([prediction["logits"] for prediction in answer["predictions"]])


def ours_to_torch(program, data, files, stem, folder):
    run = folder / f"run-{stem}"
    subprocess.run([program, "train", "--data", f"cifar10:{data}", "--model", "resnet18", "--stem", stem, "--optimizer",
                    "sgd", "--lr", "0.01", "--epochs", "1", "--batch", "32", "--limit-train", "96", "--limit-test", "32",
                    "--out", run, "--progress", "none"], check=True, capture_output=True)
    weights = run / "weights.safetensors"
    net = resnet18(stem)
    net.load_state_dict(load_file(weights), strict=True)
    assert net.bn1.num_batches_tracked.dtype == torch.int64 and net.bn1.num_batches_tracked.item() == 3
    with safe_open(weights, "pt") as file:
        metadata = file.metadata()
    theirs = torch_logits(net, files, json.loads(metadata["mean"]), json.loads(metadata["std"]))
    return float(np.abs(lamina_logits(program, weights, files) - theirs).max()), float(np.abs(theirs).max())


def torch_to_ours(program, files, stem, folder):
    torch.manual_seed(1)
    net = resnet18(stem).train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(8, 3, 32, 32))  # moves the running statistics away from 0 and 1
    weights = folder / f"torch-{stem}.safetensors"
    save_file(net.state_dict(), weights)
    options = ["--model", "resnet18", "--stem", stem, "--mean", ",".join(map(str, MEAN)), "--std", ",".join(map(str, STD))]
    theirs = torch_logits(net, files, MEAN, STD)
    return float(np.abs(lamina_logits(program, weights, files, *options) - theirs).max()), float(np.abs(theirs).max())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lamina", default="build/release/lamina")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of CIFAR-10's binary files")
    parser.add_argument("--images", type=int, default=64)
    options = parser.parse_args()
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        files = test_images(options.data, options.images, folder)
        for stem in ("cifar", "imagenet"):
            for direction, (difference, largest) in {
                "lamina -> torchvision": ours_to_torch(options.lamina, options.data, files, stem, folder),
                "torchvision -> lamina": torch_to_ours(options.lamina, files, stem, folder),
            }.items():
                print(f"resnet18, {stem} stem, {direction}: largest difference of logits {difference:.2e} "
                      f"(largest logit {largest:.2f})")
                worst = max(worst, difference)
    return 0 if worst < TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
