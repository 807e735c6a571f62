"""The ground floor: errors, clocks, formats, signing, redaction, Redis connections, logs."""
