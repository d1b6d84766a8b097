#!/usr/bin/env python3
"""Makes tests/golden/optimizer_trajectories.safetensors: recorded gradients and the parameters that public optimizer
implementations reach with them, in float64.

Packages run as they are: torch.optim (SGD, AdamW), timm (Lars, Lamb), torch_optimizer (Lamb). Where no package
exists, the update is transcribed below, the source named at each function.

Run: python tests/peers/make_optimizer_trajectories.py   (needs torch, timm, torch_optimizer, safetensors)
"""

import math
from pathlib import Path

import torch
from safetensors.torch import save_file
from timm.optim import Lamb as TimmLamb
from timm.optim import Lars as TimmLars
from torch_optimizer import Lamb as TorchOptimizerLamb

STEPS = 24
RECORDED = (1, 8, 16, 24)
STEPS_PER_EPOCH = 4
WEIGHT_DECAY = 0.02  # large, so that a misplaced decay is seen
BATCH, BASE_BATCH = 1024, 256


def make_problem():
    """Parameters and gradients of every awkward sort."""
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


def learning_rate(base, step):
    """Linear warm-up from 0 over 5 steps, then cosine; step counts from 0."""
    if step < 5:
        return base * step / 5
    return base * 0.5 * (1 + math.cos(math.pi * (step - 5) / (STEPS - 5)))


# --- transcriptions: step(name, p, g, state, lr, t), t = 1, 2, ... --------------------------------------------------


def is_excluded(p):
    return p.ndim == 1


def sutskever_nesterov(momentum=0.9):
    """Sutskever et al. 2013, eq. 3-4, in the variables at which the gradient is taken."""

    def step(name, p, g, state, lr, t):
        v = state.setdefault("v", torch.zeros_like(p))
        old = v.clone()
        v.mul_(momentum).sub_(lr * (g + WEIGHT_DECAY * p))
        p.add_((1 + momentum) * v - momentum * old)

    return step


def adamw_paper(alpha, beta1=0.9, beta2=0.999, eps=1e-8):
    """Loshchilov & Hutter 2019, Alg. 2: theta -= eta_t (alpha m^ / (sqrt(v^) + eps) + lambda theta)."""

    def step(name, p, g, state, lr, t):
        eta = lr / alpha
        m = state.setdefault("m", torch.zeros_like(p))
        v = state.setdefault("v", torch.zeros_like(p))
        m.copy_(beta1 * m + (1 - beta1) * g)
        v.copy_(beta2 * v + (1 - beta2) * g * g)
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        p.sub_(eta * (alpha * m_hat / (v_hat.sqrt() + eps) + WEIGHT_DECAY * p))

    return step


def lars_paper(momentum=0.9, eta=0.001):
    """You, Gitman & Ginsburg 2017, Alg. 1; biases and normalisation as plain momentum SGD, zero norms with ratio 1."""

    def step(name, p, g, state, lr, t):
        v = state.setdefault("v", torch.zeros_like(p))
        beta = 0 if is_excluded(p) else WEIGHT_DECAY
        rate = 1.0
        if not is_excluded(p) and p.norm() > 0 and g.norm() > 0:
            rate = eta * p.norm() / (g.norm() + beta * p.norm())
        v.copy_(momentum * v + lr * rate * (g + beta * p))
        p.sub_(v)

    return step


def lars_barlowtwins(momentum=0.9, eta=0.001):
    """facebookresearch/barlowtwins main.py, class LARS, both filters on."""

    def step(name, p, g, state, lr, t):
        dp = g
        if not is_excluded(p):
            dp = dp + WEIGHT_DECAY * p
            param_norm, update_norm = torch.norm(p), torch.norm(dp)
            one = torch.ones_like(param_norm)
            guarded = torch.where(update_norm > 0, eta * param_norm / update_norm, one)
            dp = dp * torch.where(param_norm > 0, guarded, one)
        mu = state.setdefault("mu", torch.zeros_like(p))
        mu.mul_(momentum).add_(dp)
        p.add_(mu, alpha=-lr)

    return step


def tvlars_official(factor, momentum=0.9, eta=0.001):
    """KhoiDOO/tvlars opt/tvlars.py: factor(s) with s = 0, 1, ... the optimizer's own step count."""

    def step(name, p, g, state, lr, t):
        dp = g
        if not is_excluded(p):
            dp = dp + WEIGHT_DECAY * p
            param_norm = torch.norm(p).clamp(0, 10)
            update_norm = torch.norm(dp).clamp(0, 10)
            one = torch.ones_like(param_norm)
            ratio = eta * factor(t - 1) * param_norm / update_norm
            dp = dp * torch.where(param_norm > 0, torch.where(update_norm > 0, ratio, one), one)
        mu = state.setdefault("mu", torch.zeros_like(p))
        mu.mul_(momentum).add_(dp)
        p.sub_(lr * mu)

    return step


def tvlars_paper(alpha, lam, delay_epochs, momentum=0.9, eta=0.001):
    """Do et al. 2024: eq. 5 and Alg. 1, m_{t+1} = w_t - gamma_t^k g; w_{t+1} = m_{t+1} + mu (m_{t+1} - m_t), with m_0 = w_0."""
    gamma_min = BATCH / BASE_BATCH * 0.001

    def step(name, p, g, state, lr, t):
        m = state.setdefault("m", p.clone())
        rate = 1.0
        if not is_excluded(p):
            g = g + WEIGHT_DECAY * p
            if p.norm() > 0 and g.norm() > 0:
                phi = 1 / (alpha + math.exp(lam * (t - 1 - delay_epochs * STEPS_PER_EPOCH))) + gamma_min
                rate = eta * phi * p.norm() / g.norm()
        new = p - lr * rate * g
        p.copy_(new + momentum * (new - m))
        m.copy_(new)

    return step


# --- running -------------------------------------------------------------------------------------------------------


def run_transcription(step, base_lr):
    params, grads = make_problem()
    states = {name: {} for name in params}
    for t in range(1, STEPS + 1):
        for name, p in params.items():
            step(name, p, grads[name][t - 1], states[name], learning_rate(base_lr, t - 1), t)
        yield t, params


def run_package(factory, groups, options, base_lr):
    initial, grads = make_problem()
    params = {name: torch.nn.Parameter(value) for name, value in initial.items()}
    optimizer = factory(groups(params), lr=base_lr, **options)
    for t in range(1, STEPS + 1):
        for name, p in params.items():
            p.grad = grads[name][t - 1].clone()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(base_lr, t - 1)
        optimizer.step()
        yield t, {name: p.detach() for name, p in params.items()}


def one_group(params):
    return [{"params": list(params.values()), "weight_decay": WEIGHT_DECAY}]


def two_groups(params):
    """timm's way: tensors with one dimension form a group without decay, and without decay is without ratio."""
    return [
        {"params": [p for p in params.values() if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in params.values() if p.ndim == 1], "weight_decay": 0.0},
    ]


def cases():
    """(preset, its settings, base learning rate, trajectory)"""

    def transcribed(preset, lr, step, settings=""):
        return preset, settings, lr, run_transcription(step, lr)

    def sgd(settings, **options):
        return "sgd:pytorch", settings, 0.1, run_package(torch.optim.SGD, one_group, {"momentum": 0.9, **options}, 0.1)

    def timm_lars(lr, settings, **options):
        options |= {"momentum": 0.9, "foreach": False}
        return "lars:timm", settings, lr, run_package(TimmLars, two_groups, options, lr)

    def timm_lamb(preset, settings, **options):
        return preset, settings, 0.05, run_package(TimmLamb, two_groups, {"foreach": False, **options}, 0.05)

    def torch_optimizer_lamb(preset, settings, **options):
        return preset, settings, 0.05, run_package(TorchOptimizerLamb, one_group, options, 0.05)

    lam = 0.2  # phi passes through all of its range within the 24 steps
    logistic = lambda s: 1 / (0.1 + math.exp(lam * (s + 1)))
    aug17 = lambda s: 1.0 if s // STEPS_PER_EPOCH < 2 else logistic(s)
    exponential = lambda s: math.exp(-lam * (s + 1))
    return [
        sgd(""),
        sgd("nesterov=true", nesterov=True),
        sgd("dampening=0.3", dampening=0.3),
        transcribed("sgd:paper", 0.1, sutskever_nesterov()),
        ("adamw:pytorch", "", 0.01, run_package(torch.optim.AdamW, one_group, {}, 0.01)),
        transcribed("adamw:paper", 0.01, adamw_paper(0.01)),
        transcribed("lars:paper", 2.0, lars_paper()),
        transcribed("lars:barlowtwins", 2.0, lars_barlowtwins()),
        timm_lars(2.0, ""),
        timm_lars(0.02, "larc_clip=true nesterov=true", trust_clip=True, nesterov=True),
        timm_lamb("lamb:paper", "", max_grad_norm=None),
        timm_lamb("lamb:timm", ""),
        timm_lamb(
            "lamb:timm",
            "decay_mode=decoupled ratio_max=1 grad_averaging=false",
            decoupled_decay=True,
            trust_clip=True,
            grad_averaging=False,
        ),
        torch_optimizer_lamb("lamb:official", ""),
        torch_optimizer_lamb("lamb:official", "bias_correction=step_size", debias=True),
        torch_optimizer_lamb("lamb:official-ssl", "", adam=True),
        transcribed("tvlars:official", 2.0, tvlars_official(logistic), f"lambda={lam}"),
        transcribed("tvlars:official-aug17", 2.0, tvlars_official(aug17), f"lambda={lam} hard_delay_epochs=2"),
        transcribed("tvlars:official-exp", 2.0, tvlars_official(exponential), f"lambda={lam}"),
        transcribed("tvlars:paper", 2.0, tvlars_paper(1.0, lam, 3), f"lambda={lam} delay_epochs=3"),
    ]


def main():
    params, grads = make_problem()
    tensors = {f"param.{name}": value for name, value in params.items()}
    tensors |= {f"grad.{name}": value for name, value in grads.items()}
    metadata = {"weight_decay": str(WEIGHT_DECAY)}
    for number, (preset, settings, lr, run) in enumerate(cases()):
        rows = [torch.cat([p.reshape(-1) for p in state.values()]) for t, state in run if t in RECORDED]
        tensors[f"case.{number:02}"] = torch.stack(rows)
        metadata[f"case.{number:02}"] = f"{preset} lr={lr} {settings}".strip()
    tensors["recorded_steps"] = torch.tensor(RECORDED, dtype=torch.int32)
    tensors["schedule"] = torch.tensor([learning_rate(1.0, t) for t in range(STEPS)], dtype=torch.float64)
    path = Path(__file__).resolve().parent.parent / "golden" / "optimizer_trajectories.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file(tensors, path, metadata=metadata)
    print(f"{path}: {path.stat().st_size} bytes, {len(metadata) - 1} trajectories")


if __name__ == "__main__":
    main()
