"""The corridor: one file a stage, named like its command, with one public function of that name."""
