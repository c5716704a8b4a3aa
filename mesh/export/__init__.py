"""Exports and receives calls and log lines in the formats of OpenTelemetry."""
