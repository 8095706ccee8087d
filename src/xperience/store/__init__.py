"""The destination: SSH or S3, both moved by rclone."""
