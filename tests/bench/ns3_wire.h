// SPDX-License-Identifier: MIT
// What the scenarios in ns-3 have in common: two nodes with a network stack, a link of 100 Mbit/s between them with a
// queue disc of 1000 packets in front, and how a run is timed and told.
#pragma once
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

struct Wire {
	NodeContainer nodes; // sender and receiver
	QueueDiscContainer discs;
	Ipv4InterfaceContainer interfaces;

	Wire(const std::string &kind, const std::string &delay)
	{
		nodes.Create(2);
		PointToPointHelper link;
		link.SetDeviceAttribute("DataRate", StringValue("100Mbps"));
		link.SetChannelAttribute("Delay", StringValue(delay));
		link.SetQueue("ns3::DropTailQueue", "MaxSize", StringValue("1p"));
		NetDeviceContainer devices = link.Install(nodes);
		InternetStackHelper().Install(nodes);

		TrafficControlHelper control;
		control.SetRootQueueDisc("ns3::" + kind + "QueueDisc", "MaxSize", StringValue("1000p"));
		discs = control.Install(devices.Get(0));
		Ipv4AddressHelper addresses;
		addresses.SetBase("10.0.0.0", "255.255.255.0");
		interfaces = addresses.Assign(devices);
	}

	const QueueDisc::Stats &stats() const
	{
		return discs.Get(0)->GetStats();
	}

	// Print what plain_loop.Outcome holds.
	void print(uint64_t received, double seconds) const
	{
		std::printf("{\"offered\": %llu, \"dropped\": %llu, \"received\": %llu, \"seconds\": %f}\n",
			    (unsigned long long)stats().nTotalReceivedPackets,
			    (unsigned long long)stats().nTotalDroppedPackets, (unsigned long long)received, seconds);
	}
};

// Run, and return the processor time of Simulator::Run alone, in seconds.
static inline double timed_run()
{
	const std::clock_t begin = std::clock();
	Simulator::Run();
	return double(std::clock() - begin) / CLOCKS_PER_SEC;
}
