"""What ``facegen doctor`` looks at: one function and one entry of the table each."""
