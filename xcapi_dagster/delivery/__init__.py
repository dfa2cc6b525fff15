"""Durable sending: claim, POST, settle. No Dagster and no frames here: keys, positions and bytes.

Read `deliver` first; it tells the story. `ledger` is the memory it relies on, `throttle` the limit that all
processes share, `isolate` finds the rows behind a refusal.
"""
