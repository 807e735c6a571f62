"""jobs/management/commands"""
