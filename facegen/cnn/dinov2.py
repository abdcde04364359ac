"""DINOv2's vision transformer: an image is a sequence of patches and a class token that represents the whole.

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision" (arXiv:2304.07193); Dosovitskiy et al., "An
Image is Worth 16x16 Words" (arXiv:2010.11929). Layers and tensors have the names of the published files
(https://github.com/facebookresearch/dinov2), so that their state dicts load unchanged.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH = 14  # pixels
#: Side of the position grid, in patches. The last training phase of the published networks used images of 518×518.
GRID = 37
#: Added to the number of patches before the scale is computed, as in DINO's code. The published features include it.
_OFFSET = 0.1
_EPS = 1e-6


class PatchEmbedding(nn.Module):
    """One linear map of every patch of ``PATCH`` × ``PATCH`` pixels: [n, 3, H, W] → [n, patches, dim], row by row."""

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
    """Two linear maps with a GELU between them. The hidden layer is four times as wide."""

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
    """Attention, then an MLP. Each has a norm before it and a scale after it, and is added to its input."""

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
    """Maps images to the class token after the last norm, float32 [n, dim].

    Args:
        dim: Size of a token, a multiple of ``heads``.
        depth: Number of blocks.
        heads: Number of attention heads.
    """

    def __init__(self, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + GRID * GRID, dim))
        self.mask_token = nn.Parameter(torch.zeros(1, dim))  # replaced hidden patches in training; unused here
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
        """Return the position embeddings of the class token and rows × columns patches, [1, 1 + rows·columns, dim].

        The learned grid is resized bicubically. The scale is (rows + 0.1)/37 and not rows/37. The 0.1 once prevented
        a rounding error from losing a patch. It shifts every position a little, as in all published features.
        """
        if rows == columns == GRID:
            return self.pos_embed
        grid = self.pos_embed[:, 1:].unflatten(1, (GRID, GRID)).permute(0, 3, 1, 2)
        scale = ((rows + _OFFSET) / GRID, (columns + _OFFSET) / GRID)
        resized = F.interpolate(grid, scale_factor=scale, mode="bicubic", align_corners=False)
        return torch.cat([self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)


def vit_large() -> VisionTransformer:
    """Build ViT-L/14: 304 million parameters, tokens of size 1,024."""
    return VisionTransformer(dim=1024, depth=24, heads=16)
