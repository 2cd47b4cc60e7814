"""One client each, next to the versions (NAME.txt) it is measured in. None retries by itself."""
