// SPDX-License-Identifier: MIT
// The benchmark's scenario in ns-3 with its whole network stack: UDP clients on one node, a queue disc in front of a
// point-to-point link, a sink on the other node. Arguments: queue disc (Fifo or FqCoDel), number of packets.
// Prints what plain_loop.Outcome holds; the seconds are processor time of Simulator::Run alone.
#include "ns3_wire.h"

static const int kSources = 16;
static const uint32_t kPayload = 970; // and 28 bytes of IP and UDP, 2 of PPP: 1000 on the wire
static const int64_t kGapNs = 1066666; // 7.5 Mbit/s

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	const std::string kind = argv[1];
	const int64_t start = 1000000, stop = start + std::atoll(argv[2]) * kGapNs / kSources;

	Wire wire(kind, "1ms");

	PacketSinkHelper sink("ns3::UdpSocketFactory", InetSocketAddress(Ipv4Address::GetAny(), 9));
	ApplicationContainer sinks = sink.Install(wire.nodes.Get(1));
	sinks.Start(Seconds(0));
	for (int i = 0; i < kSources; i++) {
		UdpClientHelper client(wire.interfaces.GetAddress(1), 9);
		client.SetAttribute("MaxPackets", UintegerValue(0xffffffff));
		client.SetAttribute("Interval", TimeValue(NanoSeconds(kGapNs)));
		client.SetAttribute("PacketSize", UintegerValue(kPayload));
		ApplicationContainer app = client.Install(wire.nodes.Get(0));
		app.Start(NanoSeconds(start + i * kGapNs / kSources));
		app.Stop(NanoSeconds(stop));
	}

	Simulator::Stop(NanoSeconds(stop) + Seconds(1));
	const double seconds = timed_run();
	wire.print(DynamicCast<PacketSink>(sinks.Get(0))->GetTotalRx() / kPayload, seconds);
	Simulator::Destroy();
	return 0;
}
