"""Feature extractors and distances: tensors and arrays in, numbers out, float64 inside. No files, no command line."""
