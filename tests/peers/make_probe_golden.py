#!/usr/bin/env python3
"""Writes tests/golden/probe_sklearn.json: what scikit-learn's nearest neighbours and logistic regression make of features
that tests/train_probe_golden.cpp computes too.

  make_probe_golden.py tests/golden/probe_sklearn.json        # needs numpy and scikit-learn
"""

import json
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

CLASSES, WIDTH, TRAIN, TEST = 7, 12, 400, 300


def signed_units(count, stream):
    """Of the integers 0 … count - 1: MurmurHash3's finaliser, as in tests/hashed_net.h."""
    x = (np.arange(count, dtype=np.uint64) + (stream << 24)) & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return ((x ^ (x >> 16)) >> 8) / 8388608.0 - 1


def features(count, stream):
    """Around a centre for each class, on scales from 1 to 8, most of them above 0 as after a ReLU."""
    labels = np.arange(count) * 3 % CLASSES
    centres = signed_units(CLASSES * WIDTH, 1).reshape(CLASSES, WIDTH)
    noise = signed_units(count * WIDTH, stream).reshape(count, WIDTH)
    values = (2 + 0.8 * centres[labels] + noise) * 2.0 ** (np.arange(WIDTH) % 4)
    return values.astype(np.float32).astype(np.float64), labels


def knn_predictions(train, test, k, temperature):
    model = KNeighborsClassifier(k, weights=lambda d: np.exp((1 - d) / temperature), metric="cosine", algorithm="brute")
    return model.fit(*train).predict(test[0]).tolist()


def linear_golden(train, test, l2):
    classifier = LogisticRegression(C=1 / (l2 * TRAIN), solver="newton-cholesky", tol=1e-12, max_iter=1000)
    model = make_pipeline(StandardScaler(), classifier).fit(*train)
    scale = model[0].scale_
    weight = classifier.coef_ / scale
    bias = classifier.intercept_ - weight @ model[0].mean_
    order = np.argsort(-model.decision_function(test[0]))
    right = [int((order[:, :n] == test[1][:, None]).sum()) for n in (1, 5)]
    return {"l2": l2, "weight": weight.ravel().tolist(), "bias": (bias - bias.mean()).tolist(), "correct": right}


def main():
    train, test = features(TRAIN, 2), features(TEST, 3)
    golden = {
        "knn": [{"k": k, "temperature": t, "predictions": knn_predictions(train, test, k, t)}
                for k, t in [(1, 0.1), (5, 0.07), (50, 0.1), (400, 0.02)]],
        "linear": [linear_golden(train, test, l2) for l2 in (1.0, 1e-2, 1e-4)],
    }
    with open(sys.argv[1], "w") as file:
        json.dump(golden, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
