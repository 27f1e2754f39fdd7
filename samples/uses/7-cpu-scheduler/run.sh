#!/bin/sh
# Exits 0 only if the figures of this folder's README.md hold; prints them.
. "$(dirname "$0")/../python.sh"
