#!/usr/bin/env python3
"""Writes tests/golden/landscape_pytorch.json: the loss and the accuracy of a ResNet-8 in PyTorch, f64, at five points
(a, b) of a plane, its weights moved by hand: w + a d1 + b d2, each filter of d1 and d2 as long as the network's.

The running statistics are "kept", "moved" along directions of their own, or "estimated" with update_bn() over the two
parts that the images come in. Weights, statistics, directions and images come from the integer hash of
make_resnet_golden.py, which tests/analysis_landscape_parity.cpp computes too.

  python3 tests/peers/landscape_points.py        (needs torch and torchvision)
"""
import json
import pathlib

import torch
import torch.nn.functional as F
from torch.optim.swa_utils import update_bn

from make_resnet_golden import batch, make_model, set_weights, signed

SIZE, COUNT, PARTS = 16, 32, 2
POINTS = [(0, 0), (1, 0), (0, -1), (-0.5, 0.75), (0.25, 0.125)]


def hashed(like, stream):
    return torch.tensor(signed(like.numel(), stream)).reshape(like.shape)


def set_statistics(net):
    for stream, (name, buffer) in enumerate(named_statistics(net), start=100):
        u = hashed(buffer, stream)
        buffer.copy_(0.1 * u if name.endswith("mean") else 1 + 0.3 * u)


def named_statistics(net):
    return [(name, buffer) for name, buffer in net.named_buffers() if buffer.is_floating_point()]


def weight_direction(net, number):
    """Filters of conv and linear weights alone; everything else stays."""
    direction = {}
    for stream, (name, w) in enumerate(net.named_parameters(), start=120 + 40 * number):
        if w.dim() < 2:
            continue
        d = hashed(w, stream)
        norms = [t.detach().flatten(1).norm(dim=1) for t in (w, d)]
        direction[name] = d * (norms[0] / norms[1]).reshape(-1, *[1] * (w.dim() - 1))
    return direction


def statistics_direction(net, number):
    return {name: (0.02 if name.endswith("mean") else 0.05) * hashed(buffer, stream)
            for stream, (name, buffer) in enumerate(named_statistics(net), start=202 + 20 * number)}


def evaluate(net, images, labels):
    net.eval()
    with torch.no_grad():
        logits = net(images)
    return [F.cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).double().mean().item()]


def main():
    torch.set_num_threads(1)
    net = make_model("resnet8", "cifar", "A").double()
    set_weights(net)
    set_statistics(net)
    images, labels = batch(COUNT, SIZE, torch.float64)
    start = {name: value.clone() for name, value in net.state_dict().items()}
    weights = [weight_direction(net, i) for i in range(2)]
    statistics = [statistics_direction(net, i) for i in range(2)]
    result = {"torch": torch.__version__, "points": POINTS, "kept": [], "moved": [], "estimated": []}
    for point in POINTS:
        for mode in ("kept", "moved", "estimated"):
            state = {name: value.clone() for name, value in start.items()}
            for scale, direction, moving in zip(point, weights, statistics):
                for name, d in {**direction, **(moving if mode == "moved" else {})}.items():
                    state[name] += scale * d
            net.load_state_dict(state)
            if mode == "estimated":
                update_bn(images.chunk(PARTS), net)
            result[mode].append(evaluate(net, images, labels))
    path = pathlib.Path(__file__).resolve().parent.parent / "golden" / "landscape_pytorch.json"
    path.write_text(json.dumps(result) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
