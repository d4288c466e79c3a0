"""A simulated network on the loopback: the daemon's real code on libvirt's test driver.

All of 127.0.0.0/8 is local, so every address of the network is up: the first ones are hypervisors, each with
an identity of its own, the next ones speak something else on the daemon's port, the rest are other hosts.
"""
