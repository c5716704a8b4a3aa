"""What is recorded, in the words of other programs: OpenTelemetry."""
