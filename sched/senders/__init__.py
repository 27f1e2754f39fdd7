"""Senders that react to what happens to their packets: TCP connections through the bottleneck, and their receivers.

`congestion` and `bbr` are the laws of congestion control, each with the RFC that defines it. `connection` is the
machinery around them: what is in flight, lost, sent again; `tcp_flows` is how a user describes connections.
"""
