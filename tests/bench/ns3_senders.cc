// SPDX-License-Identifier: MIT
// Bulk senders of TCP and one call in ns-3 with its whole network stack: a queue disc in front of a point-to-point link,
// the receivers on the other node. Arguments: queue disc (Fifo, CoDel or FqCoDel), seconds.
// Prints what plain_loop.Outcome holds; the seconds are processor time of Simulator::Run alone.
#include "ns3_wire.h"

static const int kSenders = 16;
static const uint16_t kBulk = 5001, kCall = 5004;

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	const std::string kind = argv[1];
	const double seconds = std::atof(argv[2]);

	Config::SetDefault("ns3::TcpL4Protocol::SocketType", StringValue("ns3::TcpCubic"));
	Config::SetDefault("ns3::TcpSocket::SegmentSize", UintegerValue(1448));
	Config::SetDefault("ns3::TcpSocket::DelAckCount", UintegerValue(1)); // each segment is acknowledged
	Config::SetDefault("ns3::TcpSocket::SndBufSize", UintegerValue(1 << 22));
	Config::SetDefault("ns3::TcpSocket::RcvBufSize", UintegerValue(1 << 22));

	Wire wire(kind, "20ms"); // a round trip of 40 ms

	PacketSinkHelper bulk_sink("ns3::TcpSocketFactory", InetSocketAddress(Ipv4Address::GetAny(), kBulk));
	ApplicationContainer sinks = bulk_sink.Install(wire.nodes.Get(1));
	PacketSinkHelper call_sink("ns3::UdpSocketFactory", InetSocketAddress(Ipv4Address::GetAny(), kCall));
	sinks.Add(call_sink.Install(wire.nodes.Get(1)));
	sinks.Start(Seconds(0));
	for (int i = 0; i < kSenders; i++) {
		BulkSendHelper sender("ns3::TcpSocketFactory", InetSocketAddress(wire.interfaces.GetAddress(1), kBulk));
		ApplicationContainer app = sender.Install(wire.nodes.Get(0));
		app.Start(NanoSeconds(i * 2500000)); // within one round trip
		app.Stop(Seconds(seconds));
	}
	UdpClientHelper call(wire.interfaces.GetAddress(1), kCall);
	call.SetAttribute("MaxPackets", UintegerValue(0xffffffff));
	call.SetAttribute("Interval", TimeValue(MilliSeconds(20)));
	call.SetAttribute("PacketSize", UintegerValue(172));
	ApplicationContainer talk = call.Install(wire.nodes.Get(0));
	talk.Start(Seconds(0));
	talk.Stop(Seconds(seconds));

	Simulator::Stop(Seconds(seconds));
	const double spent = timed_run();
	wire.print(wire.stats().nTotalDequeuedPackets, spent);
	Simulator::Destroy();
	return 0;
}
