"""Prometheus metrics of this process: one registry, served on `--metrics-port`."""

from prometheus_client import CollectorRegistry, start_http_server

REGISTRY = CollectorRegistry()


def serve_metrics(port: int, address: str = "0.0.0.0") -> int:  # noqa: S104  a pod's scraper comes from outside it
    """Serve `/metrics` in a daemon thread; port 0 picks a free one. Returns the port."""
    server, _thread = start_http_server(port, addr=address, registry=REGISTRY)
    return int(server.server_port)
