"""The page of runs: what it shows of each, served while they train or written once."""
