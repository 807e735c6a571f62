"""jobs/management"""
