/* Reading packets: what a comparison with data_end proves, and what undoes it. SPDX-License-Identifier: MIT */
#include "common.h"

SEC("xdp") int ok_ethernet(struct xdp_md *ctx)
{
    struct ethhdr *eth = DATA(ctx);

    if ((void *)(eth + 1) > DATA_END(ctx))
        return XDP_PASS;
    return eth->h_proto == BE16(ETH_P_IP) ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int bad_one_byte_short(struct xdp_md *ctx)
{
    struct ethhdr *eth = DATA(ctx);

    if (DATA(ctx) + 13 > DATA_END(ctx))
        return XDP_PASS;
    return *(volatile u16 *)&eth->h_proto;
}

SEC("xdp") int bad_wrong_way_round(struct xdp_md *ctx)
{
    struct ethhdr *eth = DATA(ctx);

    if ((void *)(eth + 1) <= DATA_END(ctx))
        return XDP_PASS;
    return *(volatile u8 *)eth;
}

static __always_inline int ports(void *data, void *end, int checked)
{
    struct iphdr *ip = data + ETH_HLEN;
    struct udphdr *udp;

    if ((void *)(ip + 1) > end)
        return 0;
    udp = (void *)ip + ip->ihl * 4;
    if (checked && (void *)(udp + 1) > end)
        return 0;
    return udp->dest;
}

SEC("tc") int ok_options(struct __sk_buff *ctx)
{
    return ports(DATA(ctx), DATA_END(ctx), 1);
}

SEC("tc") int bad_options_unchecked(struct __sk_buff *ctx)
{
    return ports(DATA(ctx), DATA_END(ctx), 0);
}

SEC("tc") int ok_pull_and_look_again(struct __sk_buff *ctx)
{
    bpf_skb_pull_data(ctx, 40);
    if (DATA(ctx) + 40 > DATA_END(ctx))
        return 0;
    return *(u8 *)(DATA(ctx) + 39);
}

SEC("tc") int bad_pull_in_between(struct __sk_buff *ctx)
{
    u8 *data = DATA(ctx);

    if ((void *)data + 40 > DATA_END(ctx))
        return 0;
    bpf_skb_pull_data(ctx, 40);
    return data[39];
}

static NOINLINE int pulls(struct __sk_buff *ctx)
{
    return bpf_skb_pull_data(ctx, 40);
}

SEC("tc") int bad_pull_in_a_function(struct __sk_buff *ctx)
{
    u8 *data = DATA(ctx);

    if ((void *)data + 40 > DATA_END(ctx))
        return 0;
    pulls(ctx);
    return data[39];
}

SEC("xdp") int ok_metadata(struct xdp_md *ctx)
{
    u32 *meta = (void *)(long)ctx->data_meta;

    return (void *)(meta + 1) > DATA(ctx) ? XDP_PASS : *meta & 3;
}

SEC("xdp") int bad_metadata_against_the_end(struct xdp_md *ctx)
{
    u32 *meta = (void *)(long)ctx->data_meta;

    return (void *)(meta + 1) > DATA_END(ctx) ? XDP_PASS : *meta & 3;
}

SEC("socket") int bad_packet_of_a_socket_filter(struct __sk_buff *ctx)
{
    return *(volatile u32 *)&ctx->data;
}

SEC("socket") int ok_load_bytes(struct __sk_buff *ctx)
{
    u8 buffer[16];

    return bpf_skb_load_bytes(ctx, 14, buffer, sizeof(buffer)) ? 0 : buffer[15];
}

SEC("socket") int bad_load_bytes_over_the_stack(struct __sk_buff *ctx)
{
    u8 buffer[16];

    return bpf_skb_load_bytes(ctx, 14, buffer, ctx->len) ? 0 : buffer[15];
}
