"""Feature extractors: networks that turn images into features. Each is one file and one entry of the table."""
