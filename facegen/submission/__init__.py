"""What a tarball is: its rules, the reader that never extracts, and the writer. The only subpackage that knows its tar format."""
