"""What decides bytes everywhere: errors, names, seeds, artifacts, tables. Imports nothing of the library but itself."""
