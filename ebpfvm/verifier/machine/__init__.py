"""What the walk works on: abstract registers, frames and states, and what is fixed while a program is walked."""
