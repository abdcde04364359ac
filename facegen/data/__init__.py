"""Faces as files: where photographs come from, the exact transform, and the prepared dataset."""
