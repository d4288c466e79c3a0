"""What all tests share."""

pytest_plugins = ["tests.cast", "tests.networks.requirements", "tests.redis_server"]
