"""The stages, photographs to leaderboard: a file each, with one public function that is named like its command."""
