"""What predictions are worth: metrics, calibration, and where a network looks."""
