"""Grading a class: outcomes, flags, and the leaderboard as CSV, JSON and HTML."""
