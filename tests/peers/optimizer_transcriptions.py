"""Update rules of papers and of public code that no package brings here, in our own words.

Each function returns step(p, g, state, lr, t), which changes p in place; t = 1, 2, ... Its first line names the source.
"""

import math

import torch

from optimizer_problem import BASE_BATCH, BATCH, STEPS_PER_EPOCH, WEIGHT_DECAY, clip_factor, is_excluded


def slot(state, name, p):
    return state.setdefault(name, torch.zeros_like(p))


def guarded(w, u, quotient):
    """1 where a norm is zero, as most implementations have it."""
    return quotient(w, u) if w > 0 and u > 0 else 1.0


# --- SGD and AdamW ---------------------------------------------------------------------------------------------------


def sutskever_nesterov(momentum=0.9):
    """Sutskever et al. 2013, eq. 3-4, in the variables at which the gradient is taken."""

    def step(p, g, state, lr, t):
        v = slot(state, "v", p)
        old = v.clone()
        v.mul_(momentum).sub_(lr * (g + WEIGHT_DECAY * p))
        p.add_((1 + momentum) * v - momentum * old)

    return step


def adamw_paper(alpha, beta1=0.9, beta2=0.999, eps=1e-8):
    """Loshchilov & Hutter 2019, Alg. 2: theta -= eta_t (alpha m^ / (sqrt(v^) + eps) + lambda theta)."""

    def step(p, g, state, lr, t):
        eta = lr / alpha
        m, v = slot(state, "m", p), slot(state, "v", p)
        m.copy_(beta1 * m + (1 - beta1) * g)
        v.copy_(beta2 * v + (1 - beta2) * g * g)
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        p.sub_(eta * (alpha * m_hat / (v_hat.sqrt() + eps) + WEIGHT_DECAY * p))

    return step


# --- LARS ------------------------------------------------------------------------------------------------------------


def lars_paper(momentum=0.9, eta=0.001, eps=0.0, nesterov=False):
    """You, Gitman & Ginsburg 2017, Alg. 1, with the exclusions and the zero norms of
    mlcommons/training image_classification/tensorflow/official/resnet/mlperf_lars_optimizer.py @80adb5f; with
    eps = 1e-7 tensorflow2/lars_optimizer.py @e821074."""

    def step(p, g, state, lr, t):
        v = slot(state, "v", p)
        rate = 1.0
        if not is_excluded(p):
            rate = guarded(p.norm(), g.norm(), lambda w, u: eta * w / (u + WEIGHT_DECAY * w + eps))
            g = g + WEIGHT_DECAY * p
        v.copy_(momentum * v + lr * rate * g)
        p.sub_(momentum * v + lr * rate * g if nesterov else v)

    return step


def lars_barlowtwins(momentum=0.9, eta=0.001):
    """facebookresearch/barlowtwins main.py @a655214, class LARS, both filters on; vicreg main_vicreg.py @cc1ef4f."""

    def step(p, g, state, lr, t):
        if not is_excluded(p):
            g = g + WEIGHT_DECAY * p
            g = g * guarded(p.norm(), g.norm(), lambda w, u: eta * w / u)
        mu = slot(state, "mu", p)
        mu.mul_(momentum).add_(g)
        p.sub_(lr * mu)

    return step


def larc_apex(clip, momentum=0.9, trust_coefficient=0.02, eps=1e-8):
    """NVIDIA/apex apex/parallel/LARC.py @2ec84eb around torch.optim.SGD, whose gradients and decay it takes over."""

    def step(p, g, state, lr, t):
        w, u = p.norm(), g.norm()
        if w != 0 and u != 0:
            rate = trust_coefficient * w / (u + w * WEIGHT_DECAY + eps)
            if clip:
                rate = min(rate / lr, 1.0) if lr > 0 else 1.0
            g = rate * (g + WEIGHT_DECAY * p)
        v = slot(state, "v", p)
        v.mul_(momentum).add_(g)
        p.sub_(lr * v)

    return step


def lars_mxnet(momentum=0.9, eta=0.001, eps=1e-8):
    """apache/mxnet python/mxnet/optimizer/lars.py @5ed72b1, LARS.step(); wd_mult 1 for every parameter, as in Gluon."""

    def step(p, g, state, lr, t):
        if not is_excluded(p):
            lr = lr * guarded(p.norm(), g.norm(), lambda w, u: eta * w / (u + WEIGHT_DECAY * w + eps))
        mom = slot(state, "mom", p)
        mom.copy_(momentum * mom - lr * (g + WEIGHT_DECAY * p))
        p.add_(mom)

    return step


# --- LAMB ------------------------------------------------------------------------------------------------------------


def lamb_albert(beta1=0.9, beta2=0.999, eps=1e-6):
    """google-research/albert lamb_optimizer.py @a36e095."""

    def step(p, g, state, lr, t):
        m, v = slot(state, "m", p), slot(state, "v", p)
        m.copy_(beta1 * m + (1 - beta1) * g)
        v.copy_(beta2 * v + (1 - beta2) * g**2)
        u = m / (v.sqrt() + eps)
        if not is_excluded(p):
            u = u + WEIGHT_DECAY * p
            u = u * guarded(p.norm(), u.norm(), lambda w, n: w / n)
        p.sub_(lr * u)

    return step


def lamb_apex(nvlamb=False, grad_averaging=True, l2=False, max_grad_norm=1.0, beta1=0.9, beta2=0.999, eps=1e-6):
    """NVIDIA/apex csrc/multi_tensor_lamb.cu @1f20398, apex/optimizers/fused_lamb.py; a group without decay."""

    def step(p, g, state, lr, t):
        decay = 0 if is_excluded(p) else WEIGHT_DECAY
        g = g / clip_factor(t, max_grad_norm)
        if l2:  # adam_w_mode=False
            g = g + decay * p
        m, v = slot(state, "m", p), slot(state, "v", p)
        m.copy_(m * beta1 + (1 - beta1 if grad_averaging else 1) * g)
        v.copy_(v * beta2 + (1 - beta2) * g * g)
        u = m / (1 - beta1**t) / ((v / (1 - beta2**t)).sqrt() + eps)
        if not l2:
            u = u + decay * p
        adapts = nvlamb or decay != 0
        p.sub_(lr * (guarded(p.norm(), u.norm(), lambda w, n: w / n) if adapts else 1.0) * u)

    return step


def lamb_deepspeed(
    correct_moments=False, eps_inside=False, min_coeff=0.01, max_coeff=10.0, beta1=0.9, beta2=0.999, eps=1e-8
):
    """deepspeedai/DeepSpeed csrc/lamb/fused_lamb_cuda_kernel.cu @c7724c6; correct_moments: @e5d277f."""

    def step(p, g, state, lr, t):
        m, v = slot(state, "m", p), slot(state, "v", p)
        m.copy_(beta1 * m + (1 - beta1) * g)
        v.copy_(beta2 * v + (1 - beta2) * g * g)
        c1, c2 = 1 - beta1**t, 1 - beta2**t
        m_hat, v_hat = (m / c1, v / c2) if correct_moments else (m, v)
        step_size = lr if correct_moments else lr * math.sqrt(c2) / c1
        u = m_hat / ((v_hat + eps).sqrt() if eps_inside else v_hat.sqrt() + eps) + WEIGHT_DECAY * p
        coefficient = guarded(p.norm(), u.norm(), lambda w, n: min(max(w / n, min_coeff), max_coeff))
        p.sub_(step_size * coefficient * u)

    return step


def lamb_mxnet(lower=None, upper=None, bias_correction=True, beta1=0.9, beta2=0.999, eps=1e-6):
    """apache/mxnet python/mxnet/optimizer/lamb.py @f70c7b7, LAMB.step()."""

    def step(p, g, state, lr, t):
        mean, var = slot(state, "mean", p), slot(state, "var", p)
        mean.mul_(beta1).add_((1 - beta1) * g)
        var.mul_(beta2).add_((1 - beta2) * g.square())
        w = p.norm()
        w = max(w, lower) if lower is not None else w
        w = min(w, upper) if upper is not None else w
        c1, c2 = (1 - beta1**t, 1 - beta2**t) if bias_correction else (1, 1)
        u = mean / c1 / ((var / c2).sqrt() + eps) + WEIGHT_DECAY * p
        p.sub_(lr * guarded(w, u.norm(), lambda w, n: w / n) * u)

    return step


# --- TVLARS ----------------------------------------------------------------------------------------------------------


def tvlars_official(factor, momentum=0.9, eta=0.001):
    """KhoiDOO/tvlars opt/tvlars.py @89c3291, @10bcfd2 or @f0d0428: factor(s), s = 0, 1, ... the optimizer's step count.
    The original computes the factor in float32."""

    def step(p, g, state, lr, t):
        if not is_excluded(p):
            g = g + WEIGHT_DECAY * p
            w, u = p.norm().clamp(0, 10), g.norm().clamp(0, 10)
            g = g * guarded(w, u, lambda w, u: eta * factor(t - 1) * w / u)
        mu = slot(state, "mu", p)
        mu.mul_(momentum).add_(g)
        p.sub_(lr * mu)

    return step


def tvlars_paper(alpha, lam, delay_epochs, momentum=0.9, eta=0.001):
    """Do et al. 2024, eq. 5, Alg. 1: m_{t+1} = w_t - gamma_t^k g; w_{t+1} = m_{t+1} + mu (m_{t+1} - m_t), m_0 = w_0."""
    gamma_min = BATCH / BASE_BATCH * 0.001

    def step(p, g, state, lr, t):
        m = state.setdefault("m", p.clone())
        rate = 1.0
        if not is_excluded(p):
            g = g + WEIGHT_DECAY * p
            phi = 1 / (alpha + math.exp(lam * (t - 1 - delay_epochs * STEPS_PER_EPOCH))) + gamma_min
            rate = guarded(p.norm(), g.norm(), lambda w, u: eta * phi * w / u)
        new = p - lr * rate * g
        p.copy_(new + momentum * (new - m))
        m.copy_(new)

    return step
