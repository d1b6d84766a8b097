"""The recorded parameters and gradients that every optimizer of make_optimizer_trajectories.py is run on."""

import math

import torch

STEPS = 24
RECORDED = (1, 8, 16, 24)
STEPS_PER_EPOCH = 4
WEIGHT_DECAY = 0.02  # large, so that a misplaced decay is seen
BATCH, BASE_BATCH = 1024, 256


def make_problem():
    """Parameters and gradients of every awkward sort, in float64."""
    torch.manual_seed(20)
    shapes = {
        "conv.weight": (4, 2, 2, 3),  # norm above 10: clamps bind
        "bn.weight": (4,),
        "bn.bias": (4,),  # starts at zero
        "zero.weight": (3, 2),  # starts at zero
        "dead.weight": (2, 3),  # its gradient is always zero
        "fc.weight": (3, 4),
        "fc.bias": (3,),
    }
    params = {name: torch.randn(shape, dtype=torch.float64) for name, shape in shapes.items()}
    params["conv.weight"] *= 14 / params["conv.weight"].norm()
    for name in ("bn.bias", "zero.weight"):
        params[name].zero_()
    grads = {name: 0.3 * torch.randn((STEPS, *shape), dtype=torch.float64) for name, shape in shapes.items()}
    grads["conv.weight"][::3] *= 20  # norm above 10
    grads["dead.weight"].zero_()
    return params, grads


def is_excluded(p):
    """Biases and normalisation parameters."""
    return p.ndim == 1


def learning_rate(base, step):
    """Linear warm-up from 0 over 5 steps, then cosine; step counts from 0."""
    if step < 5:
        return base * step / 5
    return base * 0.5 * (1 + math.cos(math.pi * (step - 5) / (STEPS - 5)))


def clip_factor(t, max_norm):
    """What the gradients of step t = 1, 2, ... are divided by to bring the whole model's norm down to max_norm."""
    _, grads = make_problem()
    total = math.sqrt(sum(float((g[t - 1] ** 2).sum()) for g in grads.values()))
    return max(1.0, total / max_norm)
