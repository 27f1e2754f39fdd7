// SPDX-License-Identifier: MIT
// Bulk senders of TCP and one call in ns-3 with its whole network stack: a queue disc in front of a point-to-point link,
// the receivers on the other node. Arguments: queue disc (Fifo, CoDel or FqCoDel), seconds.
// Prints what plain_loop.Outcome holds; the seconds are processor time of Simulator::Run alone.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include "ns3/applications-module.h"
#include "ns3/core-module.h"
#include "ns3/internet-module.h"
#include "ns3/network-module.h"
#include "ns3/point-to-point-module.h"
#include "ns3/traffic-control-module.h"

using namespace ns3;

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

	NodeContainer nodes;
	nodes.Create(2);
	PointToPointHelper link;
	link.SetDeviceAttribute("DataRate", StringValue("100Mbps"));
	link.SetChannelAttribute("Delay", StringValue("20ms")); // a round trip of 40 ms
	link.SetQueue("ns3::DropTailQueue", "MaxSize", StringValue("1p"));
	NetDeviceContainer devices = link.Install(nodes);
	InternetStackHelper().Install(nodes);

	TrafficControlHelper control;
	control.SetRootQueueDisc("ns3::" + kind + "QueueDisc", "MaxSize", StringValue("1000p"));
	QueueDiscContainer discs = control.Install(devices.Get(0));
	Ipv4AddressHelper addresses;
	addresses.SetBase("10.0.0.0", "255.255.255.0");
	Ipv4InterfaceContainer interfaces = addresses.Assign(devices);

	PacketSinkHelper bulk_sink("ns3::TcpSocketFactory", InetSocketAddress(Ipv4Address::GetAny(), kBulk));
	ApplicationContainer sinks = bulk_sink.Install(nodes.Get(1));
	PacketSinkHelper call_sink("ns3::UdpSocketFactory", InetSocketAddress(Ipv4Address::GetAny(), kCall));
	sinks.Add(call_sink.Install(nodes.Get(1)));
	sinks.Start(Seconds(0));
	for (int i = 0; i < kSenders; i++) {
		BulkSendHelper sender("ns3::TcpSocketFactory", InetSocketAddress(interfaces.GetAddress(1), kBulk));
		ApplicationContainer app = sender.Install(nodes.Get(0));
		app.Start(NanoSeconds(i * 2500000)); // within one round trip
		app.Stop(Seconds(seconds));
	}
	UdpClientHelper call(interfaces.GetAddress(1), kCall);
	call.SetAttribute("MaxPackets", UintegerValue(0xffffffff));
	call.SetAttribute("Interval", TimeValue(MilliSeconds(20)));
	call.SetAttribute("PacketSize", UintegerValue(172));
	ApplicationContainer talk = call.Install(nodes.Get(0));
	talk.Start(Seconds(0));
	talk.Stop(Seconds(seconds));

	Simulator::Stop(Seconds(seconds));
	const std::clock_t begin = std::clock();
	Simulator::Run();
	const double spent = double(std::clock() - begin) / CLOCKS_PER_SEC;
	const QueueDisc::Stats &stats = discs.Get(0)->GetStats();
	std::printf("{\"offered\": %llu, \"dropped\": %llu, \"received\": %llu, \"seconds\": %f}\n",
		    (unsigned long long)stats.nTotalReceivedPackets, (unsigned long long)stats.nTotalDroppedPackets,
		    (unsigned long long)stats.nTotalDequeuedPackets, spent);
	Simulator::Destroy();
	return 0;
}
