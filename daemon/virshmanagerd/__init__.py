"""The VirshManager daemon: REST over mutual TLS for the libvirt hypervisor it runs on."""

__version__ = "0.1.0"
