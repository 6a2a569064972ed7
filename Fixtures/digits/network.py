"""The digits network and the fixed split of scikit-learn's digits: shared by the float and the QAT training scripts."""

import pathlib

import numpy
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

SEED = 20261123
TEST_COUNT = 450
CALIBRATION_COUNT = 128


class DigitsNet(nn.Module):
    """Stem, one residual block, two wider convolutions, global average pool, linear head: 19 thousand parameters."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.stem_bn = nn.BatchNorm2d(16)
        self.block1 = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.block1_bn = nn.BatchNorm2d(16)
        self.block2 = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.block2_bn = nn.BatchNorm2d(16)
        self.wide1 = nn.Conv2d(16, 32, 3, padding=1, bias=False)
        self.wide1_bn = nn.BatchNorm2d(32)
        self.wide2 = nn.Conv2d(32, 32, 3, padding=1, bias=False)
        self.wide2_bn = nn.BatchNorm2d(32)
        self.head = nn.Linear(32, 10)

    def forward(self, image):
        x = torch.relu(self.stem_bn(self.stem(image)))
        y = torch.relu(self.block1_bn(self.block1(x)))
        y = self.block2_bn(self.block2(y))
        x = torch.relu(x + y)
        x = torch.max_pool2d(x, 2)
        x = torch.relu(self.wide1_bn(self.wide1(x)))
        x = torch.relu(self.wide2_bn(self.wide2(x)))
        x = nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
        return self.head(x)


def deterministic():
    torch.manual_seed(SEED)
    numpy.random.seed(SEED % 2**32)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def split():
    """(train, calibration, test), each a pair of images Nx1x8x8 in 0...1 and labels; calibration is a part of train."""
    digits = load_digits()
    images = (digits.images.astype(numpy.float32) / 16)[:, None]
    labels = digits.target.astype(numpy.int64)
    train_x, test_x, train_y, test_y = train_test_split(
        images, labels, test_size=TEST_COUNT, random_state=SEED, stratify=labels
    )
    calibration = train_x[:CALIBRATION_COUNT], train_y[:CALIBRATION_COUNT]
    return (train_x, train_y), calibration, (test_x, test_y)


def shifted(batch):
    """The batch with each picture moved by -1, 0 or 1 pixels both ways: the only augmentation."""
    padded = nn.functional.pad(batch, (1, 1, 1, 1))
    dy, dx = torch.randint(0, 3, (2, len(batch)))
    return torch.stack([padded[i, :, dy[i] : dy[i] + 8, dx[i] : dx[i] + 8] for i in range(len(batch))])


def fit(model, data, epochs, rate, batch=64):
    images, labels = map(torch.from_numpy, data)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=1e-5)
    steps = epochs * -(-len(images) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.randperm(len(images)).split(batch):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(
                model(shifted(images[chosen])), labels[chosen], label_smoothing=0.05
            )
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: loss {total / len(images):.4f}", flush=True)
    model.eval()


@torch.no_grad()
def outputs(model, images):
    """The model's outputs, one picture at a time as `onnxq` runs them."""
    return numpy.concatenate([model(torch.from_numpy(image[None])).numpy() for image in images])


def accuracy(scores, labels):
    return float((scores.argmax(1) == labels).mean() * 100)


def export(model, path, fold_constants=False):
    """ONNX opset 17, batch dynamic, BatchNormalization left as the network has it."""
    torch.onnx.export(
        model,
        torch.zeros(1, 1, 8, 8),
        str(path),
        opset_version=17,
        input_names=["image"],
        output_names=["scores"],
        dynamic_axes={"image": {0: "N"}, "scores": {0: "N"}},
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=fold_constants,
    )


def write_samples(folder, images):
    """One `.npy` of shape 1x1x8x8 per sample; the order of the names is the order of the samples."""
    folder = pathlib.Path(folder)
    folder.mkdir(exist_ok=True)
    for index, image in enumerate(images):
        numpy.save(folder / f"{index:03d}.npy", image[None])
