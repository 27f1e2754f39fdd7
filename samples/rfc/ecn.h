/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Explicit congestion notification (RFC 3168) for programs of the RFC's interface: two bits of the IP header.
 */
#ifndef ECN_H
#define ECN_H

#include "sch_bpf_rfc6.h"

/* Mark congestion; 1 if the packet is marked now, 0 if its sender does not know ECN. */
static long (*const bpf_skb_ecn_set_ce)(struct __sk_buff *skb) = (void *)97;

#endif
