"""Scoring of images against a reference.

These modules turn files into feature extractors, reference statistics and :class:`~facegen.scoring.score.Score`
values.
"""
