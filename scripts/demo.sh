#!/bin/sh
# Sets up .venv and runs a scheduler object on a real capture. Arguments are added to those of `ebpfvm run`.
extras=
. "$(dirname "$0")/venv.sh"
set -- run samples/rfc/pfifo.o --pcap samples/captures/mixed.pcap --rate 4mbit "$@"
echo "$venv/bin/ebpfvm $*" >&2
exec "$venv/bin/python" -m ebpfvm "$@"
