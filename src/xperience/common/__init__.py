"""What every layer uses: exit codes, errors, settings, evidence, files, logs, metrics, signals."""
