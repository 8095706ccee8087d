"""Stand-ins for the demo and the tests: hub, stores, episodes."""
