"""The kernel's own qdiscs as children and reference points: they behave as Linux 7.2 does, told in our own words."""
