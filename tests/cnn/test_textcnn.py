"""Kim's sentence classifier against the paper's equations (arXiv:1408.5882, section 2), word by word."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from facegen.cnn.textcnn import WINDOWS, TextCNN


def small(**options: object) -> TextCNN:
    torch.manual_seed(0)
    return TextCNN(vocabulary=20, in_channels=6, width=4, classes=3, **options).eval()


def by_hand(network: TextCNN, sentence: list[int]) -> Tensor:
    """Equations 1 to 4: c_i = f(w · x_{i:i+h−1} + b), ĉ = max c, y = w · z + b, for one sentence."""
    (table,) = network.features.embedding.tables
    answers = []
    for window, branch in zip(WINDOWS, network.features.windows.branches, strict=True):
        conv = branch[0].conv
        for filter_, bias in zip(conv.weight, conv.bias, strict=True):
            starts = range(len(sentence) - window + 1)
            words = [torch.stack([table.weight[word] for word in sentence[start : start + window]]) for start in starts]
            answers.append(max((filter_.T * x).sum() + bias for x in words).clamp(min=0))
    linear = network.classifier[1]
    return linear.weight @ torch.stack(answers) + linear.bias


def test_number_of_parameters_by_hand() -> None:
    words, filters, linear = 18_766 * 300, sum(h * 300 * 100 + 100 for h in (3, 4, 5)), 300 * 2 + 2
    with torch.device("meta"):
        assert sum(p.numel() for p in TextCNN().parameters()) == words + filters + linear == 5_990_702


@pytest.mark.parametrize("length", [5, 6, 9])
def test_logits_equal_the_papers_equations(length: int) -> None:
    network = small()
    sentence = torch.randint(1, 20, (length,)).tolist()
    torch.testing.assert_close(network(torch.tensor([sentence]))[0], by_hand(network, sentence))


def test_a_sentence_shorter_than_a_window_is_padded_with_zero_vectors() -> None:
    network = small()
    torch.testing.assert_close(network(torch.tensor([[3, 7]]))[0], by_hand(network, [3, 7, 0, 0, 0]))


def test_a_feature_stands_at_the_word_its_window_starts_with() -> None:
    network = small()
    sentence = torch.randint(1, 20, (1, 9))
    changed = sentence.clone()
    changed[0, 6] = (changed[0, 6] + 1) % 19 + 1
    differs = (network.features(sentence) != network.features(changed))[0].reshape(len(WINDOWS), -1, 9).any(1)
    for window, positions in zip(WINDOWS, differs, strict=True):
        assert set(positions.nonzero().flatten().tolist()) <= set(range(6 - window + 1, 7))


def test_the_padding_token_stays_a_zero_vector() -> None:
    network = small(embeddings=torch.ones(20, 6))
    table = network.features.embedding.tables[0]
    network(torch.tensor([[1, 2, 0, 0, 0, 0]])).sum().backward()
    assert not table.weight[0].any() and not table.weight.grad[0].any() and table.weight.grad[1].any()


def test_multichannel_adds_up_what_each_filter_answers_to_both_embeddings() -> None:
    network, sentence = small(channels=2), torch.randint(1, 20, (2, 8))
    trained, static = network.features.embedding.tables
    torch.testing.assert_close(trained.weight, static.weight)
    nn.init.normal_(trained.weight)
    conv = network.features.windows.branches[0][0].conv
    x, y = (table(sentence).transpose(1, 2) for table in (trained, static))
    expected = conv(x) + conv(y) - conv.bias[:, None]
    torch.testing.assert_close(network.features(sentence)[:, :4, :6], expected.relu())


def test_static_embeddings_are_not_trained() -> None:
    assert not [name for name, p in small(static=True).named_parameters() if "embedding" in name and p.requires_grad]
    trained = [p.requires_grad for p in small(channels=2).features.embedding.parameters()]
    assert trained == [True, False]


def test_pretrained_embeddings_are_copied() -> None:
    vectors = torch.randn(20, 6)
    weight = small(embeddings=vectors).features.embedding.tables[0].weight
    assert torch.equal(weight[1:], vectors[1:])
    assert weight.data_ptr() != vectors.data_ptr()


def test_the_constraint_rescales_only_classes_beyond_it() -> None:
    network = small()
    weight = network.classifier[1].weight
    with torch.no_grad():
        weight.copy_(nn.functional.normalize(weight) * torch.tensor([[1.0], [3.0], [30.0]]))
    before = weight.detach().clone()
    network.constrain_(3.0)
    torch.testing.assert_close(weight[:2], before[:2])
    torch.testing.assert_close(weight[2], before[2] / 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 3}, "3 channels"),
        ({"channels": 2, "static": True}, "use static with 1"),
        ({"embeddings": torch.zeros(20, 5)}, r"\(20, 5\) but must be \(20, 6\)"),
    ],
)
def test_what_kim_has_no_network_for_is_an_error(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)
