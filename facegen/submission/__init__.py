"""What a submission is: its rules, the reader that never extracts its tarball, and the writer."""
