#!/usr/bin/env python3
"""Writes tests/golden/barlow_twins_pytorch.json: what PyTorch computes for one step of Barlow Twins.

As make_resnet_golden.py, whose networks, numbers and layout these are: a ResNet whose last layer is replaced by a
projector, one forward pass for each of two views, and the loss of the original code (eq. 1 and 2 of the paper, the
last batch normalisation without weight and bias).

  python3 tests/peers/make_barlow_twins_golden.py        (needs torch and torchvision)
"""
import json
import pathlib

import numpy as np
import torch
import torch.nn as nn

import make_resnet_golden as resnets

LAMBDA = 0.005
CASES = [  # name, model, stem, shortcut, batch, image size, projector
    ("resnet8", "resnet8", "cifar", "A", 8, 16, (24, 16, 12)),
    ("resnet18", "resnet18", "cifar", "B", 6, 16, (64, 48, 32)),
]


class Embedding(nn.Module):
    def __init__(self, backbone, widths):
        super().__init__()
        features, backbone.fc = backbone.fc.in_features, nn.Identity()
        layers = []
        for inside, width in zip((features,) + widths[:-1], widths):
            layers += [nn.Linear(inside, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
        self.backbone, self.projector = backbone, nn.Sequential(*layers[:-2])

    def forward(self, x):
        return self.projector(self.backbone(x))


def view(count, size, stream, dtype):
    pixels = resnets.hash32(np.arange(count * size * size * 3), stream) >> np.uint64(24)
    images = torch.tensor(pixels.astype(np.float64)).reshape(count, size, size, 3) / 255
    return ((images - 0.5) / 0.25).permute(0, 3, 1, 2).contiguous().to(dtype)


def barlow_twins(z_a, z_b):
    normalise = nn.BatchNorm1d(z_a.shape[1], affine=False, dtype=z_a.dtype)
    c = normalise(z_a).T @ normalise(z_b) / z_a.shape[0]
    on = (torch.diagonal(c) - 1).pow(2).sum()
    off = c.pow(2).sum() - torch.diagonal(c).pow(2).sum()
    return on + LAMBDA * off


def run(case, dtype):
    _, model, stem, shortcut, count, size, widths = case
    net = Embedding(resnets.make_model(model, stem, shortcut), widths).to(dtype)
    resnets.set_weights(net)
    first, second = view(count, size, 200, dtype), view(count, size, 202, dtype)
    # The second view is the first one, disturbed: else nothing correlates.
    loss = barlow_twins(net(first), net(first + 0.3 * second))
    loss.backward()
    plain = lambda name: name.removeprefix("backbone.")
    return {"loss": loss.item(),
            "gradients": {plain(name): resnets.describe(p.grad, stream)
                          for stream, (name, p) in enumerate(net.named_parameters(), start=1)},
            "statistics": {plain(name): resnets.describe(b, stream)
                           for stream, (name, b) in enumerate(net.named_buffers(), start=1) if b.is_floating_point()}}


def worst(a, b, key):  # of the elements, relative to the tensor's norm
    return max(max(abs(x - y) for x, y in zip(a[key][n], b[key][n])) / b[key][n][0] for n in b[key])


def main():
    torch.set_num_threads(1)
    cases = []
    for case in CASES:
        exact, rounded = run(case, torch.float64), run(case, torch.float32)
        error = {"loss": abs(rounded["loss"] - exact["loss"]) / exact["loss"],
                 "gradients": worst(rounded, exact, "gradients"), "statistics": worst(rounded, exact, "statistics")}
        name, model, stem, shortcut, count, size, widths = case
        cases.append({"name": name, "model": model, "stem": stem, "shortcut": shortcut, "batch": count, "size": size,
                      "projector": widths, "f32_error": error, **exact})
        print(name, exact["loss"], "f32 error", error)
    golden = {"torch": torch.__version__, "lambda": LAMBDA, "cases": cases}
    path = pathlib.Path(__file__).resolve().parent.parent / "golden" / "barlow_twins_pytorch.json"
    text = json.dumps(golden, indent=0, separators=(",", ":"))
    text = text.replace(",\n", ", ").replace("[\n", "[").replace("\n]", "]").replace("{\n", "{").replace("\n}", "}")
    path.write_text(text.replace("}, ", "},\n").replace("], ", "],\n") + "\n")
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
