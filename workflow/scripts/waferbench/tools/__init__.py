"""What looks at a study from outside: doctor, status, provenance."""
