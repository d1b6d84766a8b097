#!/usr/bin/env python3
"""Writes tests/golden/resnet_pytorch.json: what PyTorch computes for small training steps of ResNets.

Weights, images and labels come from an integer hash that tests/layers_pytorch_parity.cpp computes too, so only
results are stored, in f64: losses, and per parameter the norm of its gradient and a few of its elements.
`f32_error` is the largest relative error that PyTorch itself makes in f32; the test allows a small multiple of it.

  python3 tests/peers/make_resnet_golden.py        (needs torch and torchvision)
"""
import json
import math
import pathlib

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision

LR, MOMENTUM, WEIGHT_DECAY, SMOOTHING = 0.05, 0.9, 5e-4, 0.1
ELEMENTS = 4  # of every gradient

CASES = [  # name, model, stem, shortcut, batch, image size, steps
    ("resnet8-A", "resnet8", "cifar", "A", 8, 16, 10),
    ("resnet8-B", "resnet8", "cifar", "B", 8, 16, 10),
    ("resnet18-cifar", "resnet18", "cifar", "B", 4, 16, 2),
    ("resnet18-imagenet", "resnet18", "imagenet", "B", 4, 48, 2),
    ("resnet50-imagenet", "resnet50", "imagenet", "B", 3, 48, 1),
]


def hash32(indices, stream):
    """The 32-bit finaliser of MurmurHash3 of index + 2^24 * stream; uint32 arithmetic."""
    x = (np.asarray(indices, dtype=np.uint64) + np.uint64(stream << 24)) & np.uint64(0xFFFFFFFF)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        x = ((x ^ (x >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    return x


def signed(count, stream):
    """In [-1, 1), multiples of 2^-23."""
    return (hash32(np.arange(count), stream) >> np.uint64(8)).astype(np.float64) / 2**23 - 1


class PadShortcut(nn.Module):
    def __init__(self, out, stride):
        super().__init__()
        self.out, self.stride = out, stride

    def forward(self, x):
        extra = (self.out - x.shape[1]) // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, extra, extra))


class CifarResNet(nn.Module):
    """He et al. 2016, section 4.2: three stages of n basic blocks."""

    def __init__(self, n, shortcut, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        inside = 16
        for i, width in enumerate((16, 32, 64)):
            blocks = []
            for j in range(n):
                stride = 2 if i > 0 and j == 0 else 1
                down = None
                if stride == 2 and shortcut == "A":
                    down = PadShortcut(width, stride)
                elif stride == 2:
                    down = nn.Sequential(nn.Conv2d(inside, width, 1, stride, bias=False), nn.BatchNorm2d(width))
                blocks.append(torchvision.models.resnet.BasicBlock(inside, width, stride, down))
                inside = width
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


def make_model(model, stem, shortcut):
    if model == "resnet8":
        return CifarResNet(1, shortcut)
    net = getattr(torchvision.models, model)(num_classes=10)
    if stem == "cifar":
        net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        net.maxpool = nn.Identity()
    return net


def set_weights(net):
    for stream, (name, p) in enumerate(net.named_parameters(), start=1):
        u = signed(p.numel(), stream)
        fan_in = p.numel() / p.shape[0]
        norm = p.dim() == 1 and not name.startswith("fc")
        value = math.sqrt(3 / fan_in) * u if p.dim() > 1 else (1 + 0.1 * u if norm and name.endswith("weight") else 0.1 * u)
        p.data = torch.tensor(value, dtype=torch.float64).to(p.dtype).reshape(p.shape)


def batch(count, size, dtype):
    pixels = hash32(np.arange(count * size * size * 3), 200) >> np.uint64(24)
    images = torch.tensor(pixels.astype(np.float64)).reshape(count, size, size, 3) / 255
    labels = torch.tensor((hash32(np.arange(count), 201) % np.uint64(10)).astype(np.int64))
    return ((images - 0.5) / 0.25).permute(0, 3, 1, 2).contiguous().to(dtype), labels


def describe(tensor, stream):
    flat = tensor.detach().double().flatten()
    where = (hash32(np.arange(ELEMENTS), 300 + stream) % np.uint64(flat.numel())).astype(np.int64)
    return [flat.norm().item()] + flat[torch.tensor(where)].tolist()


def run(case, dtype):
    _, model, stem, shortcut, count, size, steps = case
    net = make_model(model, stem, shortcut).to(dtype)
    set_weights(net)
    images, labels = batch(count, size, dtype)
    optimizer = torch.optim.SGD(net.parameters(), LR, MOMENTUM, weight_decay=WEIGHT_DECAY)
    result = {"losses": [], "gradients": {}, "statistics": {}}
    for step in range(steps):
        loss = F.cross_entropy(net(images), labels, label_smoothing=SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            for stream, (name, p) in enumerate(net.named_parameters(), start=1):
                result["gradients"][name] = describe(p.grad, stream)
            for stream, (name, b) in enumerate(net.named_buffers(), start=1):
                if b.is_floating_point():
                    result["statistics"][name] = describe(b, stream)
        optimizer.step()
        result["losses"].append(loss.item())
    net.eval()
    with torch.no_grad():
        result["logits"] = net(images).double().flatten().tolist()
    return result


def relative_errors(a, b):
    """The three figures that the test computes as well."""
    def worst(key):  # of the elements, relative to the tensor's root mean square
        return max(max(abs(x - y) for x, y in zip(a[key][n], b[key][n])) / b[key][n][0] for n in b[key])
    losses = max(abs(x - y) / abs(y) for x, y in zip(a["losses"], b["losses"]))
    scale = max(abs(y) for y in b["logits"])
    logits = max(abs(x - y) for x, y in zip(a["logits"], b["logits"])) / scale
    return {"losses": losses, "gradients": worst("gradients"), "statistics": worst("statistics"), "logits": logits}


def main():
    torch.set_num_threads(1)
    cases = []
    for case in CASES:
        exact = run(case, torch.float64)
        error = relative_errors(run(case, torch.float32), exact)
        name, model, stem, shortcut, count, size, steps = case
        cases.append({"name": name, "model": model, "stem": stem, "shortcut": shortcut, "batch": count, "size": size,
                      "f32_error": error, **exact})
        print(name, exact["losses"][0], "->", exact["losses"][-1], "f32 error", error)
    golden = {"torch": torch.__version__, "lr": LR, "momentum": MOMENTUM, "weight_decay": WEIGHT_DECAY,
              "label_smoothing": SMOOTHING, "cases": cases}
    path = pathlib.Path(__file__).resolve().parent.parent / "golden" / "resnet_pytorch.json"
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(golden, indent=0, separators=(",", ":"))
    text = text.replace(",\n", ", ").replace("[\n", "[").replace("\n]", "]").replace("{\n", "{").replace("\n}", "}")
    path.write_text(text.replace("}, ", "},\n").replace("], ", "],\n") + "\n")
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
