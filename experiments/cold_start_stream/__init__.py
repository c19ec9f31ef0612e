"""Streams: benchmark sets, calibration and the levels of planners and agent."""
