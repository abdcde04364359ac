"""Submissions: their rules, the reader, which never extracts a tarball, and the writer."""
