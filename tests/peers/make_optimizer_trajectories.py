#!/usr/bin/env python3
"""Makes tests/golden/optimizer_trajectories.safetensors: recorded gradients and the parameters that public optimizer
implementations reach with them, in float64.

Packages run as they are (optimizer_packages.py). Where no package can be installed, the update is transcribed
(optimizer_transcriptions.py). The file's metadata and this script's output say which was done for each trajectory.

Run: python tests/peers/make_optimizer_trajectories.py
Needs: pip install torch timm torch_optimizer lightly safetensors optax keras tensorflow-cpu tf-keras tensorboardX
       pip install --no-deps pytorch-lamb solo-learn tf-models-official
"""

import math
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import optax
import torch
from lightly.utils.lars import LARS as LightlyLars
from safetensors.torch import save_file
from timm.optim import Lamb as TimmLamb
from timm.optim import Lars as TimmLars
from torch_optimizer import Lamb as TorchOptimizerLamb

import optimizer_transcriptions as transcribed
from optimizer_packages import (
    EXCLUDED_NAMES,
    float64,
    module_at,
    one_group,
    run_keras,
    run_optax,
    run_tensorflow,
    run_torch,
    two_groups,
    version,
    without_decay,
    weights_only,
)
from optimizer_problem import RECORDED, STEPS, STEPS_PER_EPOCH, WEIGHT_DECAY, learning_rate, make_problem

NO_EXCLUSION = "decay=all adapt=all"
EXCLUSION = "decay=weights adapt=weights"


def run_transcription(step, base_lr):
    params, grads = make_problem()
    states = {name: {} for name in params}
    for t in range(1, STEPS + 1):
        for name, p in params.items():
            step(p, grads[name][t - 1], states[name], learning_rate(base_lr, t - 1), t)
        yield t, params


def case(preset, lr, run, origin, settings=""):
    return preset, lr, settings, origin, run


def written(preset, lr, step, source, settings=""):
    return case(preset, lr, run_transcription(step, lr), f"transcribed: {source}", settings)


def ran(preset, lr, package, run, settings=""):
    return case(preset, lr, run, f"ran {version(package)}", settings)


def sgd_and_adamw():
    def sgd(settings, **options):
        run = run_torch(torch.optim.SGD, one_group, 0.1, momentum=0.9, **options)
        return ran("sgd:pytorch", 0.1, "torch", run, settings)

    return [
        sgd(""),
        sgd("nesterov=true", nesterov=True),
        sgd("dampening=0.3", dampening=0.3),
        case(
            "sgd:goyal",
            0.1,
            run_torch(torch.optim.SGD, two_groups, 0.1, momentum=0.9, nesterov=True),
            f"ran {version('torch')}",
        ),
        written("sgd:paper", 0.1, transcribed.sutskever_nesterov(), "Sutskever et al. 2013"),
        ran("adamw:pytorch", 0.01, "torch", run_torch(torch.optim.AdamW, one_group, 0.01)),
        written("adamw:paper", 0.01, transcribed.adamw_paper(0.01), "Loshchilov & Hutter 2019"),
    ]


def lars_in_torch():
    solo_lars = module_at("solo/utils/lars.py").LARSWrapper

    def timm(preset, lr, settings="", groups=two_groups, **options):
        run = run_torch(TimmLars, groups, lr, momentum=0.9, foreach=False, **options)
        return ran(preset, lr, "timm", run, settings)

    def lightly(settings="", **options):
        return ran(
            "lars:lightly", 2.0, "lightly", run_torch(LightlyLars, two_groups, 2.0, momentum=0.9, **options), settings
        )

    def solo(preset, lr, groups, settings="", eta=0.001, **options):
        def wrap(params, lr):
            return solo_lars(torch.optim.SGD(params, lr=lr, momentum=0.9), eta=eta, **options)

        return ran(preset, lr, "solo-learn", run_torch(wrap, groups, lr), settings)

    return [
        timm("lars:timm", 2.0),
        timm("lars:timm", 2.0, "dampening=0.3", dampening=0.3),
        timm("lars:timm-larc", 0.02, "nesterov=true", trust_clip=True, nesterov=True),
        timm("lars:timm-larc", 2.0, trust_clip=True),
        timm("lars:timm-always-adapt", 2.0, always_adapt=True),
        timm("lars:timm-always-adapt", 2.0, "weight_decay=0", without_decay, always_adapt=True),
        lightly(),
        lightly("nesterov=true", nesterov=True),
        solo("lars:solo-learn", 2.0, one_group, exclude_bias_n_norm=True),
        solo("lars:solo-learn", 2.0, without_decay, "weight_decay=0", exclude_bias_n_norm=True),
        solo("lars:solo-learn", 0.02, one_group, "larc_clip=true", exclude_bias_n_norm=True, clip=True),
        # With no exclusion this wrapper is apex' LARC.
        solo("lars:apex-larc", 0.05, one_group, eta=0.02, clip=True),
        solo("lars:apex-larc-unclipped", 2.0, one_group, eta=0.02),
        solo("lars:apex-larc", 0.05, two_groups, "decay=weights", eta=0.02, clip=True),
    ]


def lars_elsewhere():
    models_lars = module_at("official/modeling/optimization/lars.py").LARS
    larc = "NVIDIA/apex apex/parallel/LARC.py @2ec84eb"
    mlperf = "mlcommons/training image_classification/tensorflow"
    mlperf_1 = f"{mlperf}/official/resnet/mlperf_lars_optimizer.py @80adb5f"

    def simclr(preset, settings="", **options):
        options |= {"weight_decay_rate": WEIGHT_DECAY, "exclude_from_weight_decay": EXCLUDED_NAMES}
        return ran(preset, 2.0, "tf-models-official", run_tensorflow(models_lars, 2.0, **options), settings)

    def optax_lars(preset, settings="", **options):
        return ran(preset, 2.0, "optax", run_optax(optax.lars, 2.0, **options), settings)

    masks = {"weight_decay_mask": weights_only, "trust_ratio_mask": weights_only}
    return [
        written("lars:paper", 2.0, transcribed.lars_paper(), mlperf_1),
        written("lars:paper", 2.0, transcribed.lars_paper(nesterov=True), "the same file", "nesterov=true"),
        written("lars:mlperf", 2.0, transcribed.lars_paper(eps=1e-7), f"{mlperf}2/lars_optimizer.py @e821074"),
        written(
            "lars:barlowtwins", 2.0, transcribed.lars_barlowtwins(), "facebookresearch/barlowtwins main.py @a655214"
        ),
        simclr("lars:simclr"),
        simclr("lars:simclr", "nesterov=true", nesterov=True),
        simclr("lars:simclr-popular", classic_momentum=False),
        simclr("lars:simclr-popular", "nesterov=true", classic_momentum=False, nesterov=True),
        optax_lars("lars:optax"),
        optax_lars("lars:optax", f"nesterov=true {EXCLUSION}", nesterov=True, **masks),
        optax_lars("lars:simclr", **masks),
        written("lars:apex-larc", 0.05, transcribed.larc_apex(clip=True), larc),
        written("lars:apex-larc-unclipped", 2.0, transcribed.larc_apex(clip=False), larc),
        written("lars:mxnet", 2.0, transcribed.lars_mxnet(), "apache/mxnet python/mxnet/optimizer/lars.py @5ed72b1"),
    ]


def lamb_in_torch():
    package_lamb = module_at("pytorch_lamb/lamb.py").Lamb

    def timm(preset, settings="", **options):
        return ran(preset, 0.05, "timm", run_torch(TimmLamb, two_groups, 0.05, foreach=False, **options), settings)

    def torch_optimizer(preset, settings="", **options):
        run = run_torch(TorchOptimizerLamb, one_group, 0.05, **options)
        return ran(preset, 0.05, "torch_optimizer", run, settings)

    return [
        timm("lamb:paper", max_grad_norm=None),
        timm("lamb:apex"),
        timm("lamb:apex", "grad_averaging=false max_grad_norm=0.5", grad_averaging=False, max_grad_norm=0.5),
        timm("lamb:apex", "bias_correction=none", bias_correction=False),
        timm("lamb:apex-nvlamb", always_adapt=True),
        timm("lamb:timm-lambc", trust_clip=True),
        timm("lamb:timm-decoupled", decoupled_decay=True),
        timm(
            "lamb:timm-decoupled",
            "ratio_max=1 grad_averaging=false",
            decoupled_decay=True,
            trust_clip=True,
            grad_averaging=False,
        ),
        torch_optimizer("lamb:official"),
        torch_optimizer("lamb:official", "bias_correction=step_size", debias=True),
        torch_optimizer("lamb:official-ssl", adam=True),
        ran("lamb:cybertronai", 0.05, "pytorch-lamb", run_torch(package_lamb, one_group, 0.05)),
    ]


def lamb_elsewhere():
    models_lamb = module_at("official/modeling/optimization/lamb.py").LAMB
    apex = "NVIDIA/apex csrc/multi_tensor_lamb.cu @1f20398"
    deepspeed = "deepspeedai/DeepSpeed csrc/lamb/fused_lamb_cuda_kernel.cu"
    mxnet = "apache/mxnet python/mxnet/optimizer/lamb.py @f70c7b7"

    def tf_models(preset, **options):
        options |= {"beta_1": float64(0.9), "beta_2": float64(0.999), "weight_decay_rate": float64(WEIGHT_DECAY)}
        return ran(preset, 0.05, "tf-models-official", run_tensorflow(models_lamb, 0.05, **options))

    def keras_lamb(settings="", excluded=()):
        return ran("lamb:keras", 0.05, "keras", run_keras(keras.optimizers.Lamb, 0.05, excluded), settings)

    return [
        tf_models("lamb:paper", exclude_from_weight_decay=EXCLUDED_NAMES),
        tf_models("lamb:optax"),
        written("lamb:albert", 0.05, transcribed.lamb_albert(), "google-research/albert lamb_optimizer.py @a36e095"),
        written("lamb:apex", 0.05, transcribed.lamb_apex(), apex),
        written("lamb:apex", 0.05, transcribed.lamb_apex(grad_averaging=False), apex, "grad_averaging=false"),
        written("lamb:apex", 0.05, transcribed.lamb_apex(l2=True), apex, "decay_mode=l2"),
        written("lamb:apex-nvlamb", 0.05, transcribed.lamb_apex(nvlamb=True), apex),
        ran("lamb:optax", 0.05, "optax", run_optax(optax.lamb, 0.05)),
        ran("lamb:optax", 0.05, "optax", run_optax(optax.lamb, 0.05, mask=weights_only), "decay=weights"),
        written(
            "lamb:optax",
            0.05,
            transcribed.lamb_mxnet(lower=2.0, upper=5.0),
            mxnet,
            "weight_norm_min=2 weight_norm_max=5",
        ),
        written("lamb:optax", 0.05, transcribed.lamb_mxnet(bias_correction=False), mxnet, "bias_correction=none"),
        written("lamb:deepspeed", 0.05, transcribed.lamb_deepspeed(), f"{deepspeed} @c7724c6"),
        written(
            "lamb:deepspeed",
            0.05,
            transcribed.lamb_deepspeed(eps_inside=True, eps=1e-3),
            f"{deepspeed} @c7724c6",
            "eps_mode=inside eps=1e-3",
        ),
        written(
            "lamb:deepspeed",
            0.05,
            transcribed.lamb_deepspeed(correct_moments=True, eps_inside=True, eps=1e-3),
            f"{deepspeed} @e5d277f",
            "bias_correction=moments eps_mode=inside eps=1e-3",
        ),
        keras_lamb(),
        keras_lamb("decay=weights", EXCLUDED_NAMES),
    ]


def tvlars():
    lam = 0.2  # phi passes through all of its range within the 24 steps

    def logistic(s):
        return 1 / (0.1 + math.exp(lam * (s + 1)))

    def aug17(s):
        return 1.0 if s // STEPS_PER_EPOCH < 2 else logistic(s)

    def exponential(s):
        return math.exp(-lam * (s + 1))

    def official(preset, factor, commit, settings=""):
        source = f"KhoiDOO/tvlars opt/tvlars.py @{commit}"
        return written(preset, 2.0, transcribed.tvlars_official(factor), source, f"lambda={lam} {settings}")

    return [
        official("tvlars:official", logistic, "89c3291"),
        official("tvlars:official-aug17", aug17, "10bcfd2", "hard_delay_epochs=2"),
        official("tvlars:official-exp", exponential, "f0d0428"),
        written(
            "tvlars:paper", 2.0, transcribed.tvlars_paper(1.0, lam, 3), "Do et al. 2024", f"lambda={lam} delay_epochs=3"
        ),
    ]


def main():
    params, grads = make_problem()
    tensors = {f"param.{name}": value for name, value in params.items()}
    tensors |= {f"grad.{name}": value for name, value in grads.items()}
    metadata = {"weight_decay": str(WEIGHT_DECAY)}
    cases = sgd_and_adamw() + lars_in_torch() + lars_elsewhere() + lamb_in_torch() + lamb_elsewhere() + tvlars()
    for number, (preset, lr, settings, origin, run) in enumerate(cases):
        rows = [torch.cat([p.reshape(-1) for p in state.values()]) for t, state in run if t in RECORDED]
        tensors[f"case.{number:02}"] = torch.stack(rows)
        metadata[f"case.{number:02}"] = f"{preset} lr={lr} {settings}".strip()
        metadata[f"origin.{number:02}"] = origin
        print(f"{number:02} {preset:<26} {settings:<50} {origin}")
    tensors["recorded_steps"] = torch.tensor(RECORDED, dtype=torch.int32)
    tensors["schedule"] = torch.tensor([learning_rate(1.0, t) for t in range(STEPS)], dtype=torch.float64)
    path = Path(__file__).resolve().parent.parent / "golden" / "optimizer_trajectories.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file(tensors, path, metadata=metadata)
    print(f"{path}: {path.stat().st_size} bytes, {len(cases)} trajectories")


if __name__ == "__main__":
    main()
