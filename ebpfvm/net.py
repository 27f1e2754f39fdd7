"""Headers on the wire: sizes, Ethernet types and protocol numbers, under the kernel's names (include/uapi/linux).

An Ethernet type is a number in host byte order here. `skb->protocol` and `skb->vlan_proto` hold network byte order in
a little-endian number; the constants whose names begin with `BE_` have that form.
"""

from __future__ import annotations

from typing import Final

from ebpfvm.ints import swap16

# Sizes in bytes (if_ether.h, if_vlan.h, ip.h, ipv6.h, tcp.h, udp.h); of IPv4 and TCP without options.
ETH_HLEN: Final = 14
ETH_DATA_LEN: Final = 1500
VLAN_HLEN: Final = 4
IPV4_HLEN: Final = 20
IPV6_HLEN: Final = 40
TCP_HLEN: Final = 20
UDP_HLEN: Final = 8

# if_ether.h
ETH_P_802_3: Final = 0x0001
ETH_P_ALL: Final = 0x0003
ETH_P_802_2: Final = 0x0004
ETH_P_802_3_MIN: Final = 0x0600
ETH_P_IP: Final = 0x0800
ETH_P_ARP: Final = 0x0806
ETH_P_8021Q: Final = 0x8100
ETH_P_IPV6: Final = 0x86DD
ETH_P_MPLS_UC: Final = 0x8847
ETH_P_MPLS_MC: Final = 0x8848
ETH_P_8021AD: Final = 0x88A8
ETH_P_LLDP: Final = 0x88CC

BE_ETH_P_IP: Final = swap16(ETH_P_IP)
BE_ETH_P_IPV6: Final = swap16(ETH_P_IPV6)
BE_ETH_P_8021Q: Final = swap16(ETH_P_8021Q)
BE_ETH_P_8021AD: Final = swap16(ETH_P_8021AD)

# As they stand in a frame.
RAW_ETH_P_IP: Final = ETH_P_IP.to_bytes(2, "big")
RAW_ETH_P_IPV6: Final = ETH_P_IPV6.to_bytes(2, "big")
RAW_VLAN_TYPES: Final = (ETH_P_8021Q.to_bytes(2, "big"), ETH_P_8021AD.to_bytes(2, "big"))

# in.h, in6.h
IPPROTO_HOPOPTS: Final = 0
IPPROTO_ICMP: Final = 1
IPPROTO_IGMP: Final = 2
IPPROTO_TCP: Final = 6
IPPROTO_UDP: Final = 17
IPPROTO_ROUTING: Final = 43
IPPROTO_FRAGMENT: Final = 44
IPPROTO_GRE: Final = 47
IPPROTO_ESP: Final = 50
IPPROTO_AH: Final = 51
IPPROTO_ICMPV6: Final = 58
IPPROTO_DSTOPTS: Final = 60
IPPROTO_L2TP: Final = 115
IPPROTO_SCTP: Final = 132
IPPROTO_UDPLITE: Final = 136

# IPv6 extension headers; the length is 8 bytes plus 8 for each unit of the second byte.
IPV6_EXTENSIONS: Final = (IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS)

# socket.h, if_packet.h
AF_INET: Final = 2
AF_INET6: Final = 10
PACKET_HOST: Final = 0
PACKET_MULTICAST: Final = 2
PACKET_OTHERHOST: Final = 3

# linux/netdevice.h, net/sch_generic.h: what enqueue returns
NET_XMIT_SUCCESS: Final = 0
NET_XMIT_DROP: Final = 1
NET_XMIT_CN: Final = 2
NET_XMIT_MASK: Final = 0x0F
NET_XMIT_STOLEN: Final = 0x00010000  # __NET_XMIT_STOLEN
