"""Trains ResNet-20 on CIFAR-10 with Lamina and with PyTorch, in turn, by the same recipe, and compares accuracies.

    python tests/peers/compare_accuracy.py --lamina build/release/lamina --data DIR --seeds 1 2

The two draw different random numbers, so that single runs differ by seed noise; the means are what counts.
"""
import argparse
import csv
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent


def lamina_accuracy(options, recipe: list[str], seed: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run"
        subprocess.run([options.lamina, "train", "--data", f"cifar10:{options.data}", "--optimizer", "sgd", *recipe,
                        "--seed", str(seed), "--progress", "plain", "--out", str(out)],
                       check=True, stdout=subprocess.DEVNULL)
        with open(out / "epochs.csv", newline="") as file:
            return float(list(csv.DictReader(file))[-1]["test_accuracy"])


def pytorch_accuracy(options, recipe: list[str], seed: int) -> float:
    done = subprocess.run([sys.executable, str(HERE / "train_cifar10.py"), "--data", options.data, *recipe,
                           "--seed", str(seed), "--json"], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)["epochs"][-1]["test_accuracy"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lamina", default="build/release/lamina", help="the program")
    parser.add_argument("--data", required=True, help="folder with data_batch_1.bin … test_batch.bin")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--epochs", default="6")
    parser.add_argument("--batch", default="128")
    parser.add_argument("--lr", default="0.1")
    parser.add_argument("--limit-train", default="0")
    options = parser.parse_args()
    recipe = ["--model", options.model, "--epochs", options.epochs, "--batch", options.batch, "--lr", options.lr,
              "--momentum", "0.9", "--weight-decay", "5e-4", "--schedule", "cosine", "--limit-train",
              options.limit_train, "--threads", "2"]
    print("lamina train --optimizer sgd", *recipe)
    pairs = []
    for seed in options.seeds:
        pairs.append((lamina_accuracy(options, recipe, seed), pytorch_accuracy(options, recipe, seed)))
        print("seed {}: Lamina {:.2f} %, PyTorch {:.2f} %".format(seed, *(100 * a for a in pairs[-1])), flush=True)
    ours, theirs = (100 * statistics.mean(column) for column in zip(*pairs))
    print(f"mean: Lamina {ours:.2f} %, PyTorch {theirs:.2f} %, difference {ours - theirs:+.2f} points")


if __name__ == "__main__":
    main()
