#!/bin/sh
# Sets up .venv and runs the tests on all processors. Arguments are handed to pytest (`-n 0`: in this process).
extras=test
. "$(dirname "$0")/venv.sh"
exec "$venv/bin/python" -m pytest -n auto "$@"
