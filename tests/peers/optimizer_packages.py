"""Runs optimizers of installed packages over the recorded gradients, in float64. Each runner yields (t, parameters)."""

import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import timm.optim  # noqa: F401, before TensorFlow: each brings an LLVM, and in the other order the process ends
import torch

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import keras
import tensorflow as tf

from optimizer_problem import STEPS, WEIGHT_DECAY, is_excluded, learning_rate, make_problem

keras.config.set_floatx("float64")
EXCLUDED_NAMES = ["bn", "bias"]


def version(package):
    return f"{package} {importlib.metadata.version(package)}"


def module_at(path):
    """A file of an installed package, without the package's other dependencies."""
    for root in sys.path:
        if (Path(root) / path).is_file():
            spec = importlib.util.spec_from_file_location(path.replace("/", "_")[:-3], Path(root) / path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise ModuleNotFoundError(f"no installed package holds {path}")


# --- torch -----------------------------------------------------------------------------------------------------------


def one_group(params):
    return [{"params": list(params.values()), "weight_decay": WEIGHT_DECAY}]


def without_decay(params):
    return [{"params": list(params.values()), "weight_decay": 0.0}]


def two_groups(params):
    """Biases and normalisation parameters form a group without decay."""
    return [
        {"params": [p for p in params.values() if not is_excluded(p)], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in params.values() if is_excluded(p)], "weight_decay": 0.0},
    ]


def run_torch(factory, groups, base_lr, **options):
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


# --- optax -----------------------------------------------------------------------------------------------------------


def weights_only(params):
    return {name: p.ndim > 1 for name, p in params.items()}


def run_optax(factory, base_lr, **options):
    initial, grads = make_problem()
    params = {name: jnp.array(value.numpy()) for name, value in initial.items()}
    rates = jnp.array([learning_rate(base_lr, t) for t in range(STEPS)])
    optimizer = factory(learning_rate=lambda count: rates[count], weight_decay=WEIGHT_DECAY, **options)
    state = optimizer.init(params)
    for t in range(1, STEPS + 1):
        gradient = {name: jnp.array(g[t - 1].numpy()) for name, g in grads.items()}
        updates, state = optimizer.update(gradient, state, params)
        params = {name: p + updates[name] for name, p in params.items()}
        yield t, {name: torch.tensor(jax.device_get(p)) for name, p in params.items()}


# --- Keras 3 on jax --------------------------------------------------------------------------------------------------


def run_keras(factory, base_lr, excluded=(), **options):
    initial, grads = make_problem()
    params = {name: keras.Variable(value.numpy(), dtype="float64", name=name) for name, value in initial.items()}
    optimizer = factory(learning_rate=base_lr, weight_decay=WEIGHT_DECAY, **options)
    if excluded:
        optimizer.exclude_from_weight_decay(var_names=list(excluded))
    optimizer.build(list(params.values()))
    for t in range(1, STEPS + 1):
        optimizer.learning_rate = learning_rate(base_lr, t - 1)
        optimizer.apply([jnp.array(g[t - 1].numpy()) for g in grads.values()], list(params.values()))
        yield t, {name: torch.tensor(jax.device_get(p.value)) for name, p in params.items()}


# --- TensorFlow models -----------------------------------------------------------------------------------------------


def float64(value):
    """Plain numbers become float32 hyper-parameters there."""
    return tf.constant(value, dtype=tf.float64)


def run_tensorflow(factory, base_lr, **options):
    initial, grads = make_problem()
    params = {name: tf.Variable(value.numpy(), name=name) for name, value in initial.items()}
    rate = [0.0]
    optimizer = factory(learning_rate=lambda: float64(rate[0]), **options)
    for t in range(1, STEPS + 1):
        rate[0] = learning_rate(base_lr, t - 1)
        optimizer.apply_gradients([(tf.constant(grads[name][t - 1].numpy()), p) for name, p in params.items()])
        yield t, {name: torch.tensor(p.numpy()) for name, p in params.items()}
