"""The common parts of classify.py and depth.py: four labelled tasks with a fixed split, and the training loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

#: Folder that keeps the drawn faces. git ignores it.
FACES = Path(__file__).parents[2] / "work" / "bench" / "faces"
TRAIN_FACES, TEST_FACES = 4000, 1000

#: The trigram to find in sentences of 24 words out of 20. Token 0, the padding, does not occur.
PATTERN, VOCABULARY, SENTENCE = (1, 2, 3), 21, 24

#: (dy, dx) of each class: right, down, left, up.
DIRECTIONS = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
FRAMES, FRAME_SIZE = 16, 32


@dataclass(frozen=True)
class Examples:
    """Inputs [N, ...] and int64 labels [N, Q]: a class number for each question about an input."""

    inputs: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Task:
    """Questions, each with its number of classes, and examples. The logits of all questions lie side by side."""

    questions: Mapping[str, int]
    train: Examples
    test: Examples

    @property
    def classes(self) -> int:
        """The number of logits that a network for this task needs."""
        return sum(self.questions.values())

    def answers(self, logits: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of each question."""
        return logits.split(tuple(self.questions.values()), dim=1)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the sum of the questions' cross-entropies."""
        losses = [F.cross_entropy(answer, label) for answer, label in zip(self.answers(logits), labels.T, strict=True)]
        return torch.stack(losses).sum()

    def right(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return which questions are answered correctly: bool [B, Q]."""
        return torch.stack([answer.argmax(1) for answer in self.answers(logits)], 1) == labels


def digits(size: int = 32) -> Task:
    """Return scikit-learn's 1,797 handwritten digits, 8×8 grey, scaled up to ``size``. 500 of them are the test set.

    The classes have the same shares in both parts.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels).float().view(-1, 1, 8, 8) / 8 - 1
    images = F.interpolate(images, (size, size), mode="bilinear", align_corners=False)
    rows = train_test_split(np.arange(len(labels)), test_size=500, stratify=labels, random_state=0)
    train, test = (Examples(images[part], torch.from_numpy(labels[part])[:, None]) for part in rows)
    return Task({"digit": 10}, train, test)


def faces() -> Task:
    """Return 5,000 drawn faces, 64×64 RGB in [−1, 1], with four attributes each. The last 1,000 are the test set."""
    from facegen import prepare
    from facegen.data.dataset import FaceDataset
    from facegen.data.synthetic import HairColour, face_attributes

    count = TRAIN_FACES + TEST_FACES
    prepare(f"synthetic:{count}", FACES)
    pixels = torch.from_numpy(np.array(FaceDataset.open(FACES).images))
    # A permuted NHWC array is NCHW in channels_last, which is faster on a CPU.
    images = pixels.permute(0, 3, 1, 2) / 127.5 - 1
    attributes = face_attributes(0, range(count))
    questions = {"glasses": 2, "beard": 2, "smile": 2, "hair_colour": len(HairColour)}
    labels = torch.from_numpy(np.stack([attributes[name] for name in questions], 1).astype(np.int64))
    train, test = slice(TRAIN_FACES), slice(TRAIN_FACES, None)
    return Task(questions, Examples(images[train], labels[train]), Examples(images[test], labels[test]))


def sentences(count: int, seed: int) -> Examples:
    """Return random tokens int64 [N, 24]. Half of the rows have the trigram 1 2 3, the others its tokens reordered.

    The label is 1 if the trigram occurs. How often a token occurs does not reveal it.
    """
    random = np.random.default_rng(seed)
    tokens = random.integers(1, VOCABULARY, size=(count, SENTENCE))
    pattern, *decoys = permutations(PATTERN)
    planted = np.where(random.random(count)[:, None] < 0.5, pattern, random.choice(decoys, count))
    at = random.integers(SENTENCE - len(PATTERN) + 1, size=count)
    np.put_along_axis(tokens, at[:, None] + np.arange(len(PATTERN)), planted, axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(tokens, len(PATTERN), axis=1)
    found = (windows == PATTERN).all(2).any(1)
    return Examples(torch.from_numpy(tokens), torch.from_numpy(found.astype(np.int64))[:, None])


def clips(count: int, seed: int, *, noise: float = 0.5) -> Examples:
    """Return clips float [N, 1, 16, 32, 32] of a square or disc that moves right, down, left or up: labels 0, 1, 2, 3.

    The shape starts anywhere, leaves through one edge and comes back through the opposite one. So a single frame is
    equally likely for every direction.
    """
    random = np.random.default_rng(seed)
    direction = random.integers(len(DIRECTIONS), size=count)
    start = random.integers(FRAME_SIZE, size=(count, 1, 2))
    speed, radius = random.integers(1, 4, size=(count, 1, 1)), random.integers(3, 7, size=(count, 1, 1, 1))
    is_square = random.random((count, 1, 1, 1)) < 0.5
    centre = start + speed * DIRECTIONS[direction][:, None] * np.arange(FRAMES)[:, None]
    # int16, because the broadcast below is the largest array here.
    half = FRAME_SIZE // 2
    away = ((np.arange(FRAME_SIZE) - centre[..., None] + half) % FRAME_SIZE - half).astype(np.int16)
    y, x = np.abs(away[:, :, 0, :, None]), np.abs(away[:, :, 1, None, :])
    inside = np.where(is_square, np.maximum(y, x) <= radius, y**2 + x**2 <= radius**2)
    pixels = torch.from_numpy(inside[:, None].astype(np.float32))
    pixels += noise * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(seed))
    return Examples(pixels, torch.from_numpy(direction)[:, None])


def find_trigram() -> Task:
    """Return the task of finding the trigram in a sentence."""
    return Task({"trigram": 2}, sentences(4000, 0), sentences(1000, 1))


def find_direction() -> Task:
    """Return the task of naming the direction in which the shape moves."""
    return Task({"direction": len(DIRECTIONS)}, clips(2000, 0), clips(1000, 1))


def learn(
    network: nn.Module,
    task: Task,
    optimizer: Optimizer,
    schedule: LRScheduler | None = None,
    *,
    batch: int,
    seed: int,
) -> Iterator[tuple[float, float]]:
    """Train on random batches without end, and yield each step's loss and share of wrong answers."""
    random = torch.Generator().manual_seed(seed)
    examples = task.train
    network.train()
    while True:
        for rows in torch.randperm(len(examples.inputs), generator=random).split(batch):
            if len(rows) < batch:
                continue
            labels = examples.labels[rows]
            logits = network(examples.inputs[rows])
            loss = task.loss(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if schedule:
                schedule.step()
            yield loss.item(), 1 - task.right(logits, labels).float().mean().item()


@torch.inference_mode()
def accuracy(network: nn.Module, task: Task) -> dict[str, float]:
    """Return the share of test examples answered correctly, for each question."""
    network.eval()
    logits = torch.cat([network(inputs) for inputs in task.test.inputs.split(250)])
    shares = task.right(logits, task.test.labels).double().mean(0).tolist()
    return {question: round(share, 4) for question, share in zip(task.questions, shares, strict=True)}
