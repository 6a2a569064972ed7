"""Trains the digits network and writes everything that Fixtures/digits commits. Usage: /usr/bin/python3 train.py"""

import pathlib

import numpy
import torch

import network

here = pathlib.Path(__file__).resolve().parent
network.deterministic()
train, calibration, test = network.split()

model = network.DigitsNet()
network.fit(model, train, epochs=80, rate=0.01)
scores = network.outputs(model, test[0])
print(f"test accuracy {network.accuracy(scores, test[1]):.2f} % of {len(test[1])}")

torch.save(model.state_dict(), here / "digits.pt")
network.export(model, here / "digits.onnx")
network.write_samples(here / "calibration", calibration[0])
network.write_samples(here / "test", test[0])
(here / "labels.txt").write_text("".join(f"test/{i:03d}.npy {label}\n" for i, label in enumerate(test[1])))
numpy.save(here / "reference.npy", scores)
