"""The stages, from photographs to a leaderboard: a file each, with one public function that is named like its command."""
