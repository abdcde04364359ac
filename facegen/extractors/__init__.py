"""Networks that turn images into features: one file and one entry of the table each."""
