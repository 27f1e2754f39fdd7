#!/bin/sh
# Sets up .venv and runs the tests. Arguments are handed to pytest.
extras=test
. "$(dirname "$0")/venv.sh"
exec "$venv/bin/python" -m pytest "$@"
