"""A class of submissions: outcomes, flags and the leaderboard in CSV, JSON and HTML."""
