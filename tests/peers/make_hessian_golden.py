#!/usr/bin/env python3
"""Writes tests/golden/hessian_pytorch.json: products of PyTorch's double backward with the Hessians of small
ResNets, and the eigenvalues that SciPy's eigsh finds by them.

Weights, statistics, images, labels and the vector come from an integer hash that tests/analysis_pytorch.cpp computes
too. All in f64; `f32_error` is the relative error of the product that PyTorch itself makes in f32.

  python3 tests/peers/make_hessian_golden.py        (needs torch, torchvision and scipy)
"""
import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse.linalg import LinearOperator, eigsh

from make_resnet_golden import CifarResNet, batch, describe, set_weights, signed

CASES = [("resnet8", 1, 8, 16), ("resnet20", 3, 8, 16)]  # name, blocks a stage, batch, image size


def set_statistics(net):
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0
    for stream, (name, buffer) in enumerate(((n, b) for n, b in net.named_buffers() if b.is_floating_point()), start=500):
        u = torch.tensor(signed(buffer.numel(), stream % 250)).to(buffer.dtype)
        buffer.copy_(0.1 * u if name.endswith("mean") else 1 + 0.3 * u)


def make_net(blocks, dtype):
    net = CifarResNet(blocks, "A").to(dtype)
    set_weights(net)
    set_statistics(net)
    return net


class Hessian:
    def __init__(self, net, images, labels):
        self.params = list(net.parameters())
        self.loss = F.cross_entropy(net(images), labels)
        self.gradient = torch.autograd.grad(self.loss, self.params, create_graph=True)

    def product(self, pieces):
        inner = sum((g * v).sum() for g, v in zip(self.gradient, pieces))
        return torch.autograd.grad(inner, self.params, retain_graph=True)

    def flat_product(self, vector):
        vector = torch.tensor(vector.ravel()).to(self.params[0].dtype)
        pieces, at = [], 0
        for p in self.params:
            pieces.append(vector[at : at + p.numel()].reshape(p.shape))
            at += p.numel()
        return torch.cat([h.flatten() for h in self.product(pieces)]).double().numpy()


def flat_vector(net):
    return np.concatenate([signed(p.numel(), 100 + i) for i, p in enumerate(net.parameters())])


def product_of(case, train, dtype):
    _, blocks, count, size = case
    net = make_net(blocks, dtype).train(train)
    images, labels = batch(count, size, dtype)
    hessian = Hessian(net, images, labels)
    return net, hessian, hessian.flat_product(flat_vector(net))


def run(case, train):
    net, hessian, product = product_of(case, train, torch.float64)
    in_f32 = product_of(case, train, torch.float32)[2]
    pieces, at = [], 0
    for stream, p in enumerate(net.parameters()):
        pieces.append(describe(torch.tensor(product[at : at + p.numel()]), stream))
        at += p.numel()
    result = {
        "model": case[0], "batch": case[2], "size": case[3], "mode": "train" if train else "eval",
        "loss": hessian.loss.item(),
        "norm": float(np.linalg.norm(product)),
        "parameters": pieces,
        "f32_error": float(np.linalg.norm(in_f32 - product) / np.linalg.norm(product)),
    }  # fmt: skip
    if case[0] == "resnet8":
        n = len(product)
        operator = LinearOperator((n, n), matvec=hessian.flat_product, dtype=np.float64)
        ends = [eigsh(operator, k=k, which=which, tol=1e-7, return_eigenvectors=False) for k, which in ((2, "LA"), (1, "SA"))]
        result |= {"largest": sorted(ends[0].tolist(), reverse=True), "smallest": ends[1].tolist()[0]}
    return result


def main():
    cases = [run(case, train) for case in CASES for train in (True, False)]
    path = pathlib.Path(__file__).parent.parent / "golden" / "hessian_pytorch.json"
    path.write_text(json.dumps({"cases": cases}, indent=1) + "\n")
    for case in cases:
        print({key: value for key, value in case.items() if key != "parameters"})


if __name__ == "__main__":
    main()
