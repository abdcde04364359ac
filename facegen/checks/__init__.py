"""The checks of ``facegen doctor``: one function and one entry of the table each."""
