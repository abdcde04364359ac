"""The made tasks of scripts/bench/learning.py: labels are right, and no part of an input gives them away."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch


@pytest.fixture(scope="module")
def learning(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("learning")


class TestSentences:
    def test_the_label_says_whether_the_trigram_occurs(self, learning: ModuleType) -> None:
        examples = learning.sentences(500, 0)
        words = [" ".join(map(str, ["", *sentence, ""])) for sentence in examples.inputs.tolist()]
        assert examples.labels[:, 0].tolist() == [int(" 1 2 3 " in text) for text in words]

    def test_every_sentence_has_the_trigrams_tokens_side_by_side(self, learning: ModuleType) -> None:
        windows = learning.sentences(500, 0).inputs.unfold(1, 3, 1).sort(2).values
        assert (windows == torch.tensor([1, 2, 3])).all(2).any(1).all()

    def test_half_of_them_have_it(self, learning: ModuleType) -> None:
        assert learning.sentences(4000, 0).labels.float().mean().item() == pytest.approx(0.5, abs=0.03)

    def test_the_padding_does_not_occur(self, learning: ModuleType) -> None:
        tokens = learning.sentences(500, 0).inputs
        assert tokens.min() == 1 and tokens.max() == learning.VOCABULARY - 1


class TestClips:
    @pytest.mark.parametrize(("label", "axis", "sign"), [(0, 3, 1), (1, 2, 1), (2, 3, -1), (3, 2, -1)])
    def test_each_frame_is_the_one_before_moved_the_labels_way(
        self, learning: ModuleType, label: int, axis: int, sign: int
    ) -> None:
        examples = learning.clips(40, 0, noise=0)
        for clip in examples.inputs[examples.labels[:, 0] == label]:
            before, after = clip[:, :-1], clip[:, 1:]
            assert any(torch.equal(before.roll(sign * speed, axis), after) for speed in (1, 2, 3))

    @pytest.mark.parametrize("axis", [1, 2])
    def test_a_frame_alone_does_not_tell_the_direction(self, learning: ModuleType, axis: int) -> None:
        """In the last frame of every direction the shape is anywhere."""
        examples = learning.clips(1000, 0, noise=0)
        profiles = examples.inputs[:, 0, -1].mean(axis)
        means = torch.stack([profiles[examples.labels[:, 0] == label].mean(0) for label in range(4)])
        assert (means - profiles.mean()).abs().max() < 0.03


class TestTask:
    @pytest.fixture
    def task(self, learning: ModuleType) -> Any:
        nothing = learning.Examples(torch.empty(0), torch.empty(0))
        return learning.Task({"glasses": 2, "hair": 3}, nothing, nothing)

    def test_each_question_is_answered_by_its_own_logits(self, task: Any) -> None:
        logits = torch.tensor([[0.0, 1, 5, 0, 0], [9, 1, 2, 3, 4]])
        assert task.right(logits, torch.tensor([[1, 0], [0, 0]])).tolist() == [[True, True], [True, False]]

    def test_the_loss_of_a_network_that_knows_nothing_is_the_entropy_of_the_classes(self, task: Any) -> None:
        loss = task.loss(torch.zeros(1, 5), torch.tensor([[1, 2]]))
        assert loss.item() == pytest.approx(0.6931 + 1.0986, abs=1e-4)
