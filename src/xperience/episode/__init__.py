"""What an episode is: files and schema; no policy."""
