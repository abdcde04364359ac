"""A convolutional network over the words of a sentence. Kim, arXiv:1408.5882."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .architecture import Architecture
from .classifier import Classifier
from .layers import Concat, ConvNormAct
from .pooling import GlobalPool

WINDOWS = (3, 4, 5)
#: Movie reviews ("MR", Pang and Lee 2005): 18,765 words and the padding token; 56 words in the longest sentence.
VOCABULARY, LENGTH = 18_765 + 1, 56


class WordEmbedding(nn.Module):
    """Maps each word to a vector, whose entries are channels: int64 [B, L] → float [B, C, max(L, shortest)].

    Token 0 is the padding. Its vector is zero and stays zero. With two tables, one learned and one fixed, Kim applies
    each filter to both and adds the results. Convolution is linear, so the vectors are added here instead.

    Args:
        vectors: float [vocabulary, C], the initial values of every table.
        tables: 1 or 2.
        static: Do not train the table.
        shortest: Sentences with fewer words are padded at the end.
    """

    def __init__(self, vectors: Tensor, *, tables: int, static: bool, shortest: int) -> None:
        super().__init__()
        vectors = vectors.index_fill(0, torch.tensor(0, device=vectors.device), 0.0)
        self.tables = nn.ModuleList(
            nn.Embedding.from_pretrained(vectors.clone(), freeze=static or table > 0, padding_idx=0)
            for table in range(tables)
        )
        self.shortest = shortest

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = F.pad(tokens, (0, max(self.shortest - tokens.shape[1], 0)))
        return torch.stack([table(tokens) for table in self.tables]).sum(0).transpose(1, 2)


class TextCNN(Classifier):
    """Sentence classifier. Kim, Convolutional Neural Networks for Sentence Classification, arXiv:1408.5882, figure 1.

    It has convolutions over windows of three, four and five words, and keeps the maximum of each over the sentence.
    For sentences of 56 words:

    ========= ========== ==========
    layer     output     parameters
    ========= ========== ==========
    embedding 300 × 56   5,629,800
    window 3  100 × 54   90,100
    window 4  100 × 53   120,100
    window 5  100 × 52   150,100
    maximum   300
    linear    2          602
    total                5,990,702
    ========= ========== ==========

    ``features`` has one position per word: the output for the window that starts there, or 0 where no window fits. A
    0 never exceeds the output of a ReLU.

    Args:
        classes: Number of logits.
        in_channels: Number of entries of a word's vector.
        width: Number of maps per window.
        vocabulary: Number of rows of the embedding. Token 0 is the padding.
        embeddings: float [vocabulary, in_channels], pretrained word vectors. None for U(−0.25, 0.25).
        static: Do not train the embeddings ("CNN-static").
        channels: 2 for one trained and one fixed table ("CNN-multichannel").
        dropout: Dropout probability before the classifier.

    Raises:
        ValueError: The embeddings have another shape, or ``channels`` is neither 1 nor 2, or is 2 with ``static``.
    """

    def __init__(
        self,
        *,
        classes: int = 2,
        in_channels: int = 300,
        width: int = 100,
        vocabulary: int = VOCABULARY,
        embeddings: Tensor | None = None,
        static: bool = False,
        channels: int = 1,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if channels not in (1, 2):
            raise ValueError(f"{channels} channels of embeddings: use 1, or 2 for a trained and a static one")
        if static and channels == 2:
            raise ValueError("of 2 channels of embeddings one is trained: use static with 1")
        if embeddings is None:
            embeddings = torch.empty(vocabulary, in_channels).uniform_(-0.25, 0.25)
        elif embeddings.shape != (vocabulary, in_channels):
            raise ValueError(f"embeddings are {tuple(embeddings.shape)} but must be {(vocabulary, in_channels)}")
        branches = (
            nn.Sequential(
                ConvNormAct(in_channels, width, window, padding=0, norm=None, dims=1), nn.ZeroPad1d((0, window - 1))
            )
            for window in WINDOWS
        )
        self.features = nn.Sequential(
            OrderedDict(
                embedding=WordEmbedding(embeddings, tables=channels, static=static, shortest=max(WINDOWS)),
                windows=Concat(*branches),
            )
        )
        self.pool = GlobalPool("max")
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(len(WINDOWS) * width, classes))

    @torch.no_grad()
    def constrain_(self, norm: float = 3.0) -> None:
        """Scale the weights of each class down to an L2 norm of ``norm`` if it is larger. Call this after each step.

        Hinton et al., arXiv:1207.0580; Kim, section 2.1, where it is s = 3.
        """
        weight = self.classifier.get_parameter("1.weight")
        weight.copy_(torch.renorm(weight, 2, 0, norm))


ARCHITECTURES = (
    Architecture(
        "textcnn",
        TextCNN,
        (LENGTH,),
        "Kim, Convolutional Neural Networks for Sentence Classification, arXiv:1408.5882, figure 1",
        vocabulary=VOCABULARY,
    ),
)
