"""Scores: files turned into extractors, reference statistics and :class:`~facegen.scoring.score.Score` values."""
