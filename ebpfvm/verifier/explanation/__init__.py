"""Explanations of rejections: the rule as a sentence, and the cause on the path that was walked."""
