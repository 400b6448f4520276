"""More rows, or other rows, from the rows there are: each module is one way, off unless a recipe asks for it."""
