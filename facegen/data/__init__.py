"""Read photographs, transform them and store them as a prepared dataset."""
