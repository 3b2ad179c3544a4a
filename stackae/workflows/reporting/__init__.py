"""The report of a run as one page: what its folder keeps, what its stack does on its rows, and what to make of it."""
