"""What talks to a Kubernetes API: progress of jobs, and `xperience status`."""
