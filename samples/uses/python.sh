# Sourced by the run.sh of each use, from any folder: finds a Python that has what ebpfvm needs and runs the run.py
# beside the caller. EBPFVM_VENV names a virtual environment; without it the checkout's .venv, then python3.
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
PYTHONPATH="$root:$root/samples/uses${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH
for python in "${EBPFVM_VENV:-$root/.venv}/bin/python" python3; do
    if "$python" -c 'import ebpfvm, elftools, ply, sortedcontainers' >/dev/null 2>&1; then
        exec "$python" "$here/run.py" "$@"
    fi
done
echo "$0: no Python with what ebpfvm needs: run scripts/demo.sh once, or name a virtual environment with EBPFVM_VENV" >&2
exit 2
