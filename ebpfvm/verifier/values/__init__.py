"""Numbers and pointers: arithmetic, comparisons, and what a comparison implies."""
