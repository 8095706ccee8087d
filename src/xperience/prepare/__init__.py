"""What lies at the hub or in the data root: probed, checked, described."""
