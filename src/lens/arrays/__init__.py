"""Arrays of numbers: numpy's, and for few values lists of Python with the same functions, which load in no time."""
