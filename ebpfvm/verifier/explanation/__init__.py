"""Why a program was refused: a sentence on the rule, and what led to it on the path that was walked."""
