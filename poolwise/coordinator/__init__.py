"""The process beside web and workers: records outcomes and runs periodic duties."""
