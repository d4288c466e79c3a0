"""VirshManager on real hypervisors: what a person sees, by its commands and its REST API."""
