"""The page of runs: its data, the server that shows it during training, and the report."""
