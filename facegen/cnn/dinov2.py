"""DINOv2's vision transformer: images as sequences of patches, with a class token that stands for the whole.

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision" (arXiv:2304.07193); Dosovitskiy et al., "An
Image is Worth 16x16 Words" (arXiv:2010.11929). Names of layers and tensors are those of the published files
(https://github.com/facebookresearch/dinov2), so that their state dicts load as they are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH = 14  # pixels
#: The published networks were trained in the end on 37×37 patches: images of 518×518.
GRID = 37
#: Added to the number of patches before the scale is computed, as DINO's code does; the published features have it.
_OFFSET = 0.1
_EPS = 1e-6


class PatchEmbedding(nn.Module):
    """Every patch of ``PATCH`` × ``PATCH`` pixels by one linear map: [n, 3, H, W] → [n, patches, dim], row by row."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, PATCH, stride=PATCH)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention, [n, tokens, dim] → the same (Vaswani et al., arXiv:1706.03762, section 3.2)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        # [n, tokens, 3·dim] → three of [n, heads, tokens, dim/heads]
        query, key, value = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear maps with a GELU between them, four times as wide inside."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(tokens)))


class LayerScale(nn.Module):
    """A learned factor for each feature of a residual branch (Touvron et al., arXiv:2103.17239, section 2)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens * self.gamma


class Block(nn.Module):
    """Attention, then an MLP; each normalised before, scaled after, and added to what came in."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=_EPS)
        self.attn = Attention(dim, heads)
        self.ls1 = LayerScale(dim)
        self.norm2 = nn.LayerNorm(dim, eps=_EPS)
        self.mlp = Mlp(dim)
        self.ls2 = LayerScale(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        return tokens + self.ls2(self.mlp(self.norm2(tokens)))


class VisionTransformer(nn.Module):
    """From images to the class token after the last norm, float32 [n, dim].

    Args:
        dim: of a token; a multiple of ``heads``.
        depth: how many blocks.
        heads: of the attention.
    """

    def __init__(self, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + GRID * GRID, dim))
        self.mask_token = nn.Parameter(torch.zeros(1, dim))  # stood for hidden patches in training; of no use now
        self.patch_embed = PatchEmbedding(dim)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=_EPS)

    def forward(self, images: Tensor) -> Tensor:
        """float32 [n, 3, H, W] → [n, dim]. H and W are multiples of 14."""
        patches = self.patch_embed(images)
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1)
        tokens = tokens + self.positions(images.shape[2] // PATCH, images.shape[3] // PATCH)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 0]

    def positions(self, rows: int, columns: int) -> Tensor:
        """What is added to the class token and to rows × columns patches, [1, 1 + rows·columns, dim].

        The learned grid is resized bicubically. The scale is (rows + 0.1)/37, not rows/37: that once kept rounding from
        losing a patch, and moves every position a little, as in all published features.
        """
        if rows == columns == GRID:
            return self.pos_embed
        grid = self.pos_embed[:, 1:].unflatten(1, (GRID, GRID)).permute(0, 3, 1, 2)
        scale = ((rows + _OFFSET) / GRID, (columns + _OFFSET) / GRID)
        resized = F.interpolate(grid, scale_factor=scale, mode="bicubic", align_corners=False)
        return torch.cat([self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)


def vit_large() -> VisionTransformer:
    """ViT-L/14: 304 million parameters, tokens of 1,024."""
    return VisionTransformer(dim=1024, depth=24, heads=16)
