"""The stages, from photographs to the leaderboard.

Each is one file with one public function, named like its command.
"""
