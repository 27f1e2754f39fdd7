// SPDX-License-Identifier: MIT
// The benchmark's scenario in ns-3 with its whole network stack: UDP clients on one node, a queue disc in front of a
// point-to-point link, a sink on the other node. Arguments: queue disc (Fifo or FqCoDel), number of packets.
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

static const int kSources = 16;
static const uint32_t kPayload = 970; // and 28 bytes of IP and UDP, 2 of PPP: 1000 on the wire
static const int64_t kGapNs = 1066666; // 7.5 Mbit/s

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	const std::string kind = argv[1];
	const int64_t start = 1000000, stop = start + std::atoll(argv[2]) * kGapNs / kSources;

	NodeContainer nodes;
	nodes.Create(2);
	PointToPointHelper link;
	link.SetDeviceAttribute("DataRate", StringValue("100Mbps"));
	link.SetChannelAttribute("Delay", StringValue("1ms"));
	link.SetQueue("ns3::DropTailQueue", "MaxSize", StringValue("1p"));
	NetDeviceContainer devices = link.Install(nodes);
	InternetStackHelper().Install(nodes);

	TrafficControlHelper control;
	control.SetRootQueueDisc("ns3::" + kind + "QueueDisc", "MaxSize", StringValue("1000p"));
	QueueDiscContainer discs = control.Install(devices.Get(0));
	Ipv4AddressHelper addresses;
	addresses.SetBase("10.0.0.0", "255.255.255.0");
	Ipv4InterfaceContainer interfaces = addresses.Assign(devices);

	PacketSinkHelper sink("ns3::UdpSocketFactory", InetSocketAddress(Ipv4Address::GetAny(), 9));
	ApplicationContainer sinks = sink.Install(nodes.Get(1));
	sinks.Start(Seconds(0));
	for (int i = 0; i < kSources; i++) {
		UdpClientHelper client(interfaces.GetAddress(1), 9);
		client.SetAttribute("MaxPackets", UintegerValue(0xffffffff));
		client.SetAttribute("Interval", TimeValue(NanoSeconds(kGapNs)));
		client.SetAttribute("PacketSize", UintegerValue(kPayload));
		ApplicationContainer app = client.Install(nodes.Get(0));
		app.Start(NanoSeconds(start + i * kGapNs / kSources));
		app.Stop(NanoSeconds(stop));
	}

	Simulator::Stop(NanoSeconds(stop) + Seconds(1));
	const std::clock_t begin = std::clock();
	Simulator::Run();
	const double seconds = double(std::clock() - begin) / CLOCKS_PER_SEC;
	const QueueDisc::Stats &stats = discs.Get(0)->GetStats();
	const uint64_t received = DynamicCast<PacketSink>(sinks.Get(0))->GetTotalRx() / kPayload;
	std::printf("{\"offered\": %llu, \"dropped\": %llu, \"received\": %llu, \"seconds\": %f}\n",
		    (unsigned long long)stats.nTotalReceivedPackets, (unsigned long long)stats.nTotalDroppedPackets,
		    (unsigned long long)received, seconds);
	Simulator::Destroy();
	return 0;
}
