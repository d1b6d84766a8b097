#!/usr/bin/env python3
"""Writes tests/golden/sam_pytorch.json: what SAM and ASAM around three optimizers make of a net of three tensors, in
float64, for tests/train_sam_golden.cpp.

The two algorithms are written here in our own words, after the public code of each:
  SAM   davda54/sam sam.py @3c3afdb       epsilon = rho g / (|g| + 1e-12), the norm over all tensors
  ASAM  SamsungLabs/ASAM asam.py @f156a68  epsilon = rho T^2 g / (|T g| + 1e-16), T = |w| + eta where the name has "weight"

  make_sam_golden.py                     # needs torch and numpy
  make_sam_golden.py --originals DIR     # and compares with DIR/sam.py and DIR/asam.py, run as they are
"""

import argparse
import importlib.util
import json
from pathlib import Path

import numpy as np
import torch

import optimizer_transcriptions as transcribed
from optimizer_problem import WEIGHT_DECAY

STEPS, RECORDED = 20, (1, 10, 20)
SAMPLES, INPUTS, WIDTH = 8, 5, 6
LAMBDA = 0.1
METHODS = {"sam": dict(rho=0.2), "asam": dict(rho=0.5, eta=0.01)}


def numbers(shape, stream):
    """In [-1, 1), of MurmurHash3's finaliser, as signed_unit() of tests/hashed_net.h."""
    x = (np.arange(np.prod(shape), dtype=np.uint64) + (stream << 24)) & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return torch.tensor((((x ^ (x >> 16)) >> 8) / 8388608.0 - 1).reshape(shape))


class Net(torch.nn.Module):
    """gamma * tanh(W x) + b"""

    def __init__(self):
        super().__init__()
        self.hidden = torch.nn.Linear(INPUTS, WIDTH, bias=False, dtype=torch.float64)
        self.norm = torch.nn.Module()
        self.norm.weight = torch.nn.Parameter(1 + 0.5 * numbers((WIDTH,), 2))
        self.norm.bias = torch.nn.Parameter(0.1 * numbers((WIDTH,), 3))
        self.hidden.weight.data = numbers((WIDTH, INPUTS), 1)

    def forward(self, x):
        return self.norm.weight * torch.tanh(self.hidden(x)) + self.norm.bias


def loss_of(net, step):
    """Half the squared distance to targets, a mean over samples; each step has samples of its own."""
    x, y = numbers((SAMPLES, INPUTS), 10 + 2 * step), numbers((SAMPLES, WIDTH), 11 + 2 * step)
    return 0.5 * ((net(2 * x) - y) ** 2).sum() / SAMPLES


class Transcribed(torch.optim.Optimizer):
    """A step function of optimizer_transcriptions.py as an optimizer."""

    def __init__(self, params, rule, lr):
        super().__init__(params, dict(rule=rule, lr=lr))
        self.steps = 0

    @torch.no_grad()
    def step(self):
        self.steps += 1
        for group in self.param_groups:
            for p in group["params"]:
                group["rule"](p, p.grad, self.state[p], group["lr"], self.steps)


# For each: its factory, the settings of the test's optimizer, and the factory's arguments, made anew for each run.
OPTIMIZERS = {
    "sgd": (torch.optim.SGD, "lr=0.1 momentum=0.9", lambda: dict(lr=0.1, momentum=0.9, weight_decay=WEIGHT_DECAY)),
    "lars:barlowtwins": (
        Transcribed, "lr=0.5 trust_coefficient=0.1",
        lambda: dict(lr=0.5, rule=transcribed.lars_barlowtwins(eta=0.1)),
    ),
    "tvlars:paper": (
        Transcribed, f"lr=1 trust_coefficient=0.1 lambda={LAMBDA} delay_epochs=3",
        lambda: dict(lr=1.0, rule=transcribed.tvlars_paper(1.0, LAMBDA, 3, eta=0.1)),
    ),
}


def sam(named, rho):
    norm = torch.sqrt(sum((p.grad**2).sum() for _, p in named))
    return [rho * p.grad / (norm + 1e-12) for _, p in named]


def asam(named, rho, eta):
    scales = [p.abs() + eta if "weight" in name else torch.ones_like(p) for name, p in named]
    norm = torch.sqrt(sum(((t * p.grad) ** 2).sum() for t, (_, p) in zip(scales, named)))
    return [rho * t**2 * p.grad / (norm + 1e-16) for t, (_, p) in zip(scales, named)]


def in_our_words(net, optimizer, method, step):
    named = list(net.named_parameters())
    loss = loss_of(net, step)
    optimizer.zero_grad()
    loss.backward()
    with torch.no_grad():
        before = [p.clone() for _, p in named]
        for (_, p), epsilon in zip(named, globals()[method](named, **METHODS[method])):
            p.add_(epsilon)
    optimizer.zero_grad()
    loss_of(net, step).backward()
    with torch.no_grad():
        for (_, p), value in zip(named, before):
            p.copy_(value)
    optimizer.step()
    return loss.item()


def trajectory(method, factory, arguments):
    net = Net()
    optimizer = factory(net.parameters(), **arguments())
    losses, rows = [], []
    for step in range(1, STEPS + 1):
        losses.append(in_our_words(net, optimizer, method, step))
        if step in RECORDED:
            rows.append(torch.cat([p.detach().reshape(-1) for p in net.parameters()]).tolist())
    return {"losses": losses, "parameters": rows}


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def end_of_original(folder, method, factory, arguments):
    """The parameters that the original's own classes come to."""
    net = Net()
    if method == "sam":
        wrapped = load(folder / "sam.py").SAM(net.parameters(), factory, **METHODS[method], **arguments())
        up, down = wrapped.first_step, wrapped.second_step
    else:
        wrapped = load(folder / "asam.py").ASAM(factory(net.parameters(), **arguments()), net, **METHODS[method])
        up, down = wrapped.ascent_step, wrapped.descent_step
    for step in range(1, STEPS + 1):
        net.zero_grad()
        loss_of(net, step).backward()
        up()
        net.zero_grad()
        loss_of(net, step).backward()
        down()
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--originals", type=Path, help="folder with davda54's sam.py and SamsungLabs' asam.py")
    originals = parser.parse_args().originals
    cases = []
    for method in METHODS:
        for optimizer, (factory, settings, arguments) in OPTIMIZERS.items():
            case = trajectory(method, factory, arguments)
            cases.append({"method": method, **METHODS[method], "optimizer": optimizer, "settings": settings, **case})
            text = f"{method:<5} {optimizer:<17} loss {case['losses'][0]:.4f} … {case['losses'][-1]:.4f}"
            if originals:
                end = end_of_original(originals, method, factory, arguments)
                ours = torch.tensor(case["parameters"][-1], dtype=torch.float64)
                text += f"; from the original's {float((ours - end).abs().max() / end.abs().max()):.1e}"
            print(text)
    golden = {"weight_decay": WEIGHT_DECAY, "recorded_steps": RECORDED, "cases": cases}
    path = Path(__file__).resolve().parent.parent / "golden" / "sam_pytorch.json"
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
