# Sourced by the run.sh of each use, from any folder: finds a Python that has ebpfvm or what it needs, and runs the
# run.py beside the caller. EBPFVM_VENV names a virtual environment; without it the checkout's .venv, then python3.
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
for python in "${EBPFVM_VENV:-$root/.venv}/bin/python" python3; do
    command -v "$python" >/dev/null 2>&1 && break
done
PYTHONPATH="$root:$root/samples/uses${PYTHONPATH:+:$PYTHONPATH}" exec "$python" "$here/run.py" "$@"
