#!/bin/bash
# Takes mixed.pcap: two seconds of real TCP and UDP flows between two network namespaces joined by a veth pair.
# Needs root, iproute2, ethtool, tcpdump, iperf3 and python3. Nothing leaves the two namespaces; both are removed
# at the end. Usage: take.sh [OUTPUT]
set -euo pipefail

out=$(realpath -m "${1:-$(dirname "$0")/mixed.pcap}")
a=ebpfvm-a-$$ b=ebpfvm-b-$$
children=()
cleanup() {
    kill "${children[@]}" 2>/dev/null || true
    ip netns del "$a" 2>/dev/null || true
    ip netns del "$b" 2>/dev/null || true
}
trap cleanup EXIT

ip netns add "$a"
ip netns add "$b"
ip -n "$a" link add eth0 address 02:00:00:00:00:01 type veth peer name eth0 address 02:00:00:00:00:02 netns "$b"
for end in "$a 1" "$b 2"; do
    read -r ns host <<<"$end"
    # Whole segments and checksums are left to the stack, so that the capture shows what a wire would carry.
    ip netns exec "$ns" ethtool -K eth0 tso off gso off gro off tx off rx off >/dev/null
    ip -n "$ns" addr add "10.0.0.$host/24" dev eth0
    ip -n "$ns" addr add "fd00::$host/64" dev eth0 nodad
    ip -n "$ns" link set lo up
    ip -n "$ns" link set eth0 up
done

for port in 5201 5202 5203 5204 5205 5206; do
    timeout 30 ip netns exec "$b" iperf3 --server --one-off --port $port >/dev/null 2>&1 &
    children+=($!)
done
# Answers each request of 48 bytes with 400.
timeout 30 ip netns exec "$b" python3 -c '
import socket
listener = socket.create_server(("10.0.0.2", 2222))
peer, _ = listener.accept()
while peer.recv(48):
    peer.sendall(bytes(400))
' &
children+=($!)
sleep 1

timeout 30 ip netns exec "$a" tcpdump -i eth0 -Q out -U -s 0 -c 4000 -w "$out" 'tcp or udp' 2>/dev/null &
capture=$!
children+=("$capture")
sleep 1

send() {
    timeout 20 ip netns exec "$a" iperf3 --time 2 "$@" >/dev/null &
    children+=($!)
    flows+=($!)
}
flows=()
send --client 10.0.0.2 --port 5201 --bitrate 2000k --length 4K --tos 0x20              # bulk TCP, CS1
send --client 10.0.0.2 --port 5202 --bitrate 1500k --length 4K --tos 0x00              # TCP, best effort
send --client 10.0.0.2 --port 5203 --udp --bitrate 1200k --length 1200 --tos 0x88      # video, AF41
send --client 10.0.0.2 --port 5204 --udp --bitrate 64k --length 160 --tos 0xb8         # voice, EF
send --client 10.0.0.2 --port 5205 --udp --bitrate 800k --length 500 --tos 0x00        # UDP, best effort
send --client fd00::2 --port 5206 --udp --bitrate 400k --length 300 --tos 0x48  # over IPv6, AF21
# A terminal session: a short request each 15 ms, "low delay" (CS2).
timeout 20 ip netns exec "$a" python3 -c '
import socket, time
peer = socket.create_connection(("10.0.0.2", 2222))
peer.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x40)
peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for _ in range(130):
    peer.sendall(bytes(48))
    got = 0
    while got < 400:
        got += len(peer.recv(400 - got))
    time.sleep(0.015)
' &
children+=($!)
flows+=($!)

wait "${flows[@]}"
sleep 0.5
kill -INT "$capture"
wait "$capture" || true
ls -l "$out"
